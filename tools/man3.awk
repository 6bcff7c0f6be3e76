# SPDX-License-Identifier: MIT
#
# A manual page, for scdoc, out of a public header: the comments there are the manual.
#
#	awk -f man3.awk -v page=hvo_cma -v brief="..." [-v section="CMA areas"] HEADER
#
# With a section only what is between "/* ---- section ---- */" and the next such line; without
# one all of the header from its first declaration on.

function escape(text)
{
	gsub(/\\/, "\\\\", text)
	gsub(/[_*]/, "\\\\&", text)
	return text
}

# A line that scdoc would take for more than text.
function plain(text)
{
	text = escape(text)
	if (text ~ /^[-#|.~`\[\]]/)
		text = "\\" text
	return text
}

function end_code()
{
	if (in_code)
		print "```\n"
	in_code = 0
}

function comment_line(text)
{
	if (text ~ /^@[a-z_0-9, @]+:/ || text ~ /^(Return|Context):/)
		print ""
	# Continuations are indented, which scdoc takes for a list.
	sub(/^[ \t]+/, "", text)
	if (text ~ /^[a-z_0-9 ]+(\(\))? - /) {
		name = text
		sub(/ - .*/, "", name)
		sub(/^[^-]* - /, "", text)
		print "## " escape(name) "\n"
		text = toupper(substr(text, 1, 1)) substr(text, 2)
	}
	print plain(text)
}

BEGIN {
	printf "%s(3)\n\n# NAME\n\n%s - %s\n\n", page, page, brief
	on = section == ""
}

FNR == 1 {
	header = FILENAME
	sub(/^.*include\//, "", header)
	printf "# SYNOPSIS\n\n```\n#include <%s>\n```\n\n# DESCRIPTION\n\n", header
}

/^\/\* ---- .* -* \*\/$/ {
	title = $0
	sub(/^\/\* ---- /, "", title)
	sub(/ -+ \*\/$/, "", title)
	end_code()
	if (section != "")
		on = title == section
	else
		print "# " toupper(title) "\n"
	next
}

!on { next }
/^#ifndef HVO_.*_H$/ || /^#define HVO_.*_H$/ || /^#include/ || /SPDX/ { next }
/^#ifdef __cplusplus/ || /^#endif/ { skip = /^#ifdef/; next }
skip || /^extern "C"/ || (/^}$/ && !in_code) { next }

# A comment before a declaration; those inside one are part of the code.
/^\/\*/ {
	end_code()
	in_comment = 1
	text = $0
	sub(/^\/\*\*?[ \t]?/, "", text)
	one_line = text ~ /\*\/$/
	sub(/[ \t]*\*\/$/, "", text)
	if (text != "")
		comment_line(text)
	if (one_line) {
		in_comment = 0
		print ""
	}
	next
}

in_comment {
	if (/\*\/$/)
		in_comment = 0
	text = $0
	sub(/^[ \t]*\*\/?[ \t]?/, "", text)
	sub(/[ \t]*\*\/$/, "", text)
	if (in_comment || text != "")
		comment_line(text)
	if (!in_comment)
		print ""
	next
}

/^[ \t]*$/ {
	# Within a structure or a function an empty line is nothing.
	if (!depth)
		end_code()
	else
		print ""
	next
}

{
	if (!in_code)
		print "```"
	in_code = 1
	print
	depth += gsub(/\{/, "{") - gsub(/\}/, "}")
}

END {
	end_code()
	print "# SEE ALSO\n\n*libhvo*(3)"
}
