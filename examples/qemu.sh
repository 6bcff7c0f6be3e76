#!/bin/bash
# SPDX-License-Identifier: MIT
#
# qemu.sh - a virtual machine whose memory is huge pages of a served machine. The guest, one
# boot sector, writes a line to its memory and to its serial port; the same bytes are read from
# the memfd. Then QEMU is killed, and the pages are in their pool again.
#
# HVO: the command (default build/hvo, or the one that is installed). Needs qemu-system-x86 and
# fuse3. Exit status: 0 if all was as said, 77 without FUSE.

set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
hvo=${HVO:-$top/build/hvo}
[ -x "$hvo" ] || hvo=$(command -v hvo) || { echo "there is no hvo" >&2 && exit 1; }
if [ ! -c /dev/fuse ]; then
	echo "there is no FUSE here" >&2
	exit 77
fi
dir=$(mktemp -d)
qemu=''

cleanup()
{
	[ -z "$qemu" ] || { kill -9 "$qemu" && wait "$qemu"; } 2>/dev/null || true
	fusermount3 -u "$dir/machine" 2>/dev/null || true
	rm -rf --one-file-system "$dir"
}
trap cleanup EXIT

# until_true COMMAND...: for half a minute at most
until_true()
{
	local i

	for ((i = 0; i < 300; i++)); do
		"$@" 2>/dev/null && return
		sleep 0.1
	done
	echo "waited in vain: $*" >&2
	return 1
}

pages=$dir/machine/sys/kernel/mm/hugepages/hugepages-2048kB
free_are()
{
	[ "$(cat "$pages/free_hugepages")" = "$1" ]
}

mkdir "$dir/machine"
"$hvo" serve --mount "$dir/machine" --socket "$dir/socket" --memory 512M --hugepages 2M=64 --background
free_are 64

# mov es,0x2000; copy the text to es:0 and to the serial port; halt.
line='written by the guest'
{
	printf '\xfc\x31\xc0\x8e\xd8\xb8\x00\x20\x8e\xc0\x31\xff\xbe\x1e\x7c\xba\xf8\x03'
	printf '\xac\xaa\x84\xc0\x74\x03\xee\xeb\xf7\xf4\xeb\xfd%s\r\n' "$line"
} >"$dir/boot"
truncate -s 510 "$dir/boot"
printf '\x55\xaa' >>"$dir/boot"

# hvo client becomes QEMU: the pages are lent as long as that lives.
"$hvo" client --socket "$dir/socket" borrow 2M=32 -- \
	qemu-system-x86_64 -accel tcg -m 64M -machine pc,memory-backend=ram \
	-object memory-backend-file,id=ram,size=64M,mem-path=/dev/fd/3,share=on \
	-nodefaults -display none -serial "file:$dir/serial" \
	-drive "file=$dir/boot,format=raw" &
qemu=$!
until_true grep -q "$line" "$dir/serial"
echo "serial port:  $(tr -d '\r' <"$dir/serial")"

memory=$(dd if="/proc/$qemu/fd/3" bs=1 skip=$((0x20000)) count=${#line} status=none)
echo "memfd:        $memory"
[ "$memory" = "$line" ]
echo "free pages:   $(cat "$pages/free_hugepages") of $(cat "$pages/nr_hugepages")"
free_are 32

{ kill -9 "$qemu" && wait "$qemu"; } 2>/dev/null || true
qemu=''
until_true free_are 64
echo "QEMU killed:  $(cat "$pages/free_hugepages") of $(cat "$pages/nr_hugepages")"
