#!/bin/bash
# SPDX-License-Identifier: MIT
#
# check-completion.sh BUILDDIR - what the shell offers behind "hvo", with the hvo of BUILDDIR.

set -u

if [ $# -ne 1 ] || [ ! -x "$1/hvo" ]; then
	echo "usage: ${0##*/} BUILDDIR" >&2
	exit 2
fi
hvo=$(cd "$1" && pwd)/hvo
cd "$(dirname "$0")/.." || exit 1
# shellcheck source=/dev/null
. completions/hvo

rc=0

# offers WANTED WORD...: behind these words, the last one begun, WANTED is offered
offers()
{
	local wanted=$1

	shift
	COMP_WORDS=("$hvo" "$@")
	COMP_CWORD=$#
	_hvo "$hvo"
	case " ${COMPREPLY[*]-} " in
	*" $wanted "*) ;;
	*)
		echo "hvo $*: '$wanted' is not offered, but: ${COMPREPLY[*]-}"
		rc=1
		;;
	esac
}

offers tour to
offers --version --v
offers help he
offers pool help po
offers remap bench re
offers --nodes tour --no
offers --no-host tour --json --no
offers sim tour --platform ''
for command in $("$hvo" --help | sed -nE 's/^  ([a-z]+) +.*/\1/p'); do
	offers "$command" "$command"
	offers --help "$command" --h
done
exit $rc
