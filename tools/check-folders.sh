#!/bin/bash
# SPDX-License-Identifier: MIT
#
# check-folders.sh - the folders of src stand in an order, and what is in one includes headers of
# its own folder and of those above it in the list only. Folders of one line know nothing of
# each other: no command includes another's headers.

set -u

cd "$(dirname "$0")/.." || exit 1

order=(
	"core"
	"mmu"
	"platform/linux platform/sim"
	"path"
	"tree"
	"lend"
	"client"
	"common"
	"lab"
	"cli"
	"cli/files"
	"cli/kernel"
	"cli/bench cli/client cli/lab cli/plan cli/pool cli/serve cli/status cli/top cli/tour"
)

declare -A rank
rc=0
complain()
{
	echo "$1"
	rc=1
}

for i in "${!order[@]}"; do
	for folder in ${order[i]}; do
		rank[$folder]=$i
		[ -d "src/$folder" ] || complain "src/$folder is in the list and not there"
	done
done

seen=0
while IFS=: read -r file header; do
	folder=${file#src/} folder=${folder%/*}
	case $header in
	*/*) from=${header%/*} ;;
	*) from=$folder header=$folder/$header ;;
	esac
	seen=$((seen + 1))
	if [ -z "${rank[$folder]-}" ]; then
		complain "$file: src/$folder is in no line of $0"
	elif [ ! -f "src/$header" ]; then
		complain "$file: there is no src/$header"
	elif [ -z "${rank[$from]-}" ]; then
		complain "$file: $header: src/$from is in no line of $0"
	elif [ "$from" != "$folder" ] && [ "${rank[$from]}" -ge "${rank[$folder]}" ]; then
		complain "$file: $header: src/$from does not stand above src/$folder"
	fi
done < <(grep -rE --include='*.[ch]' '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' src |
	sed -E 's/:[^"]*"([^"]*)".*/:\1/')
[ $seen -gt 0 ] || complain "no includes found"
exit $rc
