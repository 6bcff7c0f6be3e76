#!/bin/bash
# SPDX-License-Identifier: MIT
#
# refused.sh - hvo pool on a kernel that cannot free its huge pages. A virtual machine with Debian's
# kernel, HVO on, has a pool of 64 pages and then no free memory. The pages are to be freed:
# first hvo pool tells that they were not; a plain write to nr_hugepages changes nothing once there
# is memory again; hvo pool --wait frees them as soon as that is so.
#
# HVO: the command (default build/hvo, or the one that is installed). KERNEL: a bzImage with serial
# console, HVO and initramfs (default: Debian's for virtual machines, which is fetched, not
# installed). Needs qemu-system-x86, busybox-static and cpio. Exit status: 0 if all was seen, 77 if
# there is no kernel.

set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
hvo=${HVO:-$top/build/hvo}
[ -x "$hvo" ] || hvo=$(command -v hvo) || { echo "there is no hvo" >&2 && exit 1; }
kernel=${KERNEL:-}
dir=$(mktemp -d)
trap 'rm -rf --one-file-system "$dir"' EXIT

fetch_kernel()
{
	local package

	package=$(apt-cache depends linux-image-cloud-amd64 |
		sed -n 's/.*Depends: \(linux-image-[^ ]*\)$/\1/p')
	(cd "$dir" && apt-get -qq download "$package") || return
	dpkg-deb --fsys-tarfile "$dir"/linux-image-*.deb |
		tar -xf - -C "$dir" --wildcards './boot/vmlinuz-*'
	kernel=$(echo "$dir"/boot/vmlinuz-*)
}

# The command, what it is linked with, and a shell.
make_root()
{
	local root=$1 file

	mkdir -p "$root"/{bin,proc,sys,dev,full}
	cp "$(command -v busybox)" "$root/bin/busybox"
	cp "$hvo" "$root/bin/hvo"
	ldd "$hvo" | sed -n 's/.* => \(\/[^ ]*\).*/\1/p; s/^\t\(\/[^ ]*\).*/\1/p' | while read -r file; do
		install -D "$file" "$root$file"
	done
	cat >"$root/init" && chmod +x "$root/init"
}

if [ -z "$kernel" ] && ! fetch_kernel; then
	echo "Debian's kernel cannot be fetched here" >&2
	exit 77
fi

# What the guest does. A line that begins with @ is checked below.
make_root "$dir/root" <<'EOF'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
echo 3 >/proc/sys/kernel/printk

pages=/sys/devices/system/node/node1/hugepages/hugepages-2048kB

pool()
{
	echo "@ $1: $(cat $pages/nr_hugepages) pages, $(cat $pages/free_hugepages) free, $(cat $pages/surplus_hugepages) surplus"
}

# Frames of node 1 that are free above the min watermark.
room()
{
	awk '/^Node/ { node = $2 }
	     node == "1," && /pages free/ { free = $3 }
	     node == "1," && / min / { free -= $2; sum += free > 0 ? free : 0 }
	     END { print sum }' /proc/zoneinfo
}

# Without swap what is in a tmpfs stays.
fill()
{
	mount -t tmpfs -o size=100%,mpol=bind:1 full /full
	for i in 1 2 3 4 5; do
		echo 1 >/proc/sys/vm/compact_memory # and the lists of each processor are emptied
		dd if=/dev/zero of=/full/$i bs=4k count=$(room) 2>/dev/null
	done
	echo 1 >/proc/sys/vm/compact_memory
	room_is
}

room_is()
{
	echo "node 1 has $(room) free frames above the min watermark"
}

uname -sr
echo "$ hvo pool set 2M=64 --node 1"
hvo pool set 2M=64 --node 1
pool "grown"
hvo status
fill
echo "$ hvo pool set 2M=0 --node 1"
hvo pool set 2M=0 --node 1
echo "@ hvo pool set: exit status $?"
pool "shrunk without memory"
umount /full
room_is
echo "$ echo 0 >$pages/nr_hugepages"
echo 0 >$pages/nr_hugepages
pool "0 written with memory"
echo "$ hvo pool set 2M=0 --node 1"
hvo pool set 2M=0 --node 1
echo "@ hvo pool set: exit status $?"
pool "hvo pool with memory"

hvo pool set 2M=64 --node 1 >/dev/null
fill
echo "$ hvo pool set 2M=0 --node 1 --wait=100"
(sleep 5 && umount /full) &
hvo pool set 2M=0 --node 1 --wait=100
echo "@ hvo pool set --wait: exit status $?"
pool "waited"
poweroff -f
EOF

(cd "$dir/root" && find . | cpio -o -H newc -R 0:0 --quiet | gzip -1) >"$dir/initramfs"
timeout 300 qemu-system-x86_64 -accel tcg -m 512 -smp 1 -nodefaults -display none -vga none -no-reboot \
	-object memory-backend-ram,id=m0,size=256M -numa node,cpus=0,memdev=m0 \
	-object memory-backend-ram,id=m1,size=256M -numa node,memdev=m1 \
	-serial stdio -kernel "$kernel" -initrd "$dir/initramfs" \
	-append 'console=ttyS0 quiet panic=-1 hugetlb_free_vmemmap=on' </dev/null |
	sed -u 's/\r$//' | tee "$dir/output"

rc=0
expect()
{
	grep -qx "@ $1" "$dir/output" || {
		echo "not seen: $1" >&2
		rc=1
	}
}
expect 'grown: 64 pages, 64 free, 0 surplus'
expect 'hvo pool set: exit status 1'
expect 'shrunk without memory: 64 pages, 64 free, 64 surplus'
expect '0 written with memory: 64 pages, 64 free, 64 surplus'
expect 'hvo pool set: exit status 0'
expect 'hvo pool with memory: 0 pages, 0 free, 0 surplus'
expect 'hvo pool set --wait: exit status 0'
expect 'waited: 0 pages, 0 free, 0 surplus'
exit $rc
