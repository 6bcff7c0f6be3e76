# SPDX-License-Identifier: MIT
#
# The manual of the functions, out of the comments in the public headers: a page for each
# function, one for each subject, and libhvo(3) with the list of all.
#
#	awk -v out=DIR -f man3.awk man/subjects src/libhvo.map ... include/hvo/*.h [LIBHVO.3]
#	awk -v check=1 -f man3.awk man/subjects src/libhvo.map ... include/hvo/*.h
#
# What is between two empty lines of a header belongs together: a kernel-doc comment, and the
# functions behind it. They share a page, which has the first one's name; the others are links to
# it. What declares no function is for the page of the subject. With check=1 nothing is written:
# says which function has no kernel-doc, or is of no subject.
#
# LIBHVO.3 is written by hand, but for its line @FUNCTIONS@.

BEGIN {
	meanings["0"] = "done"
	meanings["EINVAL"] = "an argument makes no sense"
	meanings["ENOMEM"] = "no memory, or no mapping"
	meanings["ENODEV"] = "the machine is gone"
	meanings["EBUSY"] = "in use, or not now"
	meanings["ENOSPC"] = "no room for one more"
}

# ---- roff ----------------------------------------------------------------------

function escape(text)
{
	gsub(/\\/, "\\e", text)
	gsub(/-/, "\\-", text)
	return text
}

# A line that roff must not take for more than text.
function roff(text)
{
	text = escape(text)
	return (text ~ /^[.']/ ? "\\&" : "") text
}

# Functions and parameters stand out.
function prose(text,   done, name)
{
	done = ""
	while (match(text, /hvo_[a-z0-9_]+\(\)|@[a-z_]+/)) {
		name = substr(text, RSTART, RLENGTH)
		done = done escape(substr(text, 1, RSTART - 1))
		text = substr(text, RSTART + RLENGTH)
		if (sub(/^@/, "", name))
			done = done "\\fI" name "\\fR"
		else
			done = done "\\fB" substr(name, 1, length(name) - 2) "\\fR()"
	}
	done = done escape(text)
	return (done ~ /^[.']/ ? "\\&" : "") done
}

function sentence(text)
{
	return toupper(substr(text, 1, 1)) substr(text, 2)
}

function spaces(text,   at)
{
	while ((at = index(text, "\t")))
		text = substr(text, 1, at - 1) substr("        ", 1, 8 - (at - 1) % 8) substr(text, at + 1)
	return text
}

function code(lines,   n, i, line, text)
{
	n = split(lines, line, "\n")
	text = ".P\n.nf\n.RS 4\n"
	for (i = 1; i <= n; i++)
		text = text (line[i] == "" ? "\\&" : roff(spaces(line[i]))) "\n"
	return text ".RE\n.fi\n"
}

# To the page that is open. A paragraph needs no beginning right after a heading.
function put(text,   n, i, line)
{
	n = split(text, line, "\n")
	for (i = 1; i <= n; i++) {
		if (i == n && line[i] == "")
			break
		if (line[i] == ".P" && after_heading)
			continue
		print line[i] >file
		after_heading = line[i] ~ /^\.S[HS] /
	}
}

# ---- comments ------------------------------------------------------------------

# The parts of a comment: brief, parameters, text, context, result; as roff.
function read_comment(comment,   line, n, i, part, s, what, gap, literal)
{
	c_name = c_brief = c_params = c_text = c_context = c_return = ""
	n = split(comment, line, "\n")
	part = "text"
	for (i = 1; i <= n; i++) {
		s = line[i]
		if (i == 1 && match(s, /^[a-z_0-9 ]+(\(\))? - /)) {
			c_name = substr(s, 1, RLENGTH - 3)
			sub(/\(\)$/, "", c_name)
			c_brief = substr(s, RLENGTH + 1)
			part = "brief"
			continue
		}
		# What is behind a tab is code, or drawn.
		if (part == "text" && s ~ /^\t/) {
			c_text = c_text (literal ? "" : ".P\n.nf\n.RS 4\n") roff(spaces(substr(s, 2))) "\n"
			literal = 1
			continue
		}
		if (literal)
			c_text = c_text ".RE\n.fi\n"
		literal = 0
		if (s == "") {
			# The result comes last: its paragraphs are its own.
			if (part != "return")
				part = "text"
			gap = 1
			continue
		}
		if (s ~ /^@[A-Za-z_0-9, @]+:/) {
			part = "params"
			what = s
			sub(/:.*/, "", what)
			gsub(/@/, "", what)
			sub(/^[^:]*:[ \t]*/, "", s)
			c_params = c_params ".TP\n.I " roff(what) "\n"
		} else if (s ~ /^Context:/) {
			part = "context"
			sub(/^Context:[ \t]*/, "", s)
		} else if (s ~ /^Return:/) {
			part = "return"
			sub(/^Return:[ \t]*/, "", s)
		}
		sub(/^[ \t]+/, "", s)
		if (s == "")
			continue
		if (part == "brief") {
			c_brief = c_brief " " s
			continue
		}
		s = (gap && part != "params" ? ".P\n" : "") prose(s) "\n"
		gap = 0
		if (part == "params")
			c_params = c_params s
		else if (part == "context")
			c_context = c_context s
		else if (part == "return")
			c_return = c_return (c_return == "" ? "" : " ") line[i]
		else
			c_text = c_text s
	}
	if (literal)
		c_text = c_text ".RE\n.fi\n"
	sub(/^\.P\n/, "", c_text)
	sub(/^\.P\n/, "", c_context)
	sub(/^ *Return: */, "", c_return)
}

# What a bare error number means wherever nothing else is said.
function meaning(label)
{
	sub(/^-(HVO_)?/, "", label)
	return label in meanings ? meanings[label] : ""
}

# "0; -HVO_EINVAL: no such node; -HVO_ENOMEM. After an error ...": a list, and what follows it.
function errors(text,   n, i, item, list, rest, label, open)
{
	gsub(/ +/, " ", text)
	n = split(text, item, "; ")
	list = rest = ""
	for (i = 1; i <= n; i++) {
		if (i == n && match(item[i], /\. /)) {
			rest = substr(item[i], RSTART + 2)
			item[i] = substr(item[i], 1, RSTART)
		}
		if (!match(item[i], /^(0|-(HVO_)?E[A-Z]+)((,| or) -(HVO_)?E[A-Z]+)*/)) {
			list = list (open ? "; " : "") prose(item[i])
			open = 1
			continue
		}
		label = substr(item[i], 1, RLENGTH)
		text = substr(item[i], RLENGTH + 1)
		sub(/^[:,.;]? */, "", text)
		sub(/[.;]$/, "", text)
		if (text ~ /^\([^()]*\)$/)
			text = substr(text, 2, length(text) - 2)
		if (text == "")
			text = meaning(label)
		list = list (open ? "\n" : "") ".TP\n.B " escape(label) "\n" (text == "" ? "\\&" : prose(text))
		open = 1
	}
	return list (open ? "\n" : "") (rest == "" ? "" : ".P\n" prose(rest) "\n")
}

# ---- blocks --------------------------------------------------------------------

# What is between two empty lines: pieces, comments ("c", kernel-doc "k") and code ("d").
function piece(kind, text)
{
	if (nr_pieces && kinds[nr_pieces] == "d" && kind == "d")
		pieces[nr_pieces] = pieces[nr_pieces] "\n" text
	else {
		kinds[++nr_pieces] = kind
		pieces[nr_pieces] = text
	}
}

# The public functions (and tables of them) that code declares, in names[]; how many.
function declared(text, names,   n, s)
{
	n = 0
	gsub(/\/\*[^\n]*\*\//, "", text)
	gsub(/#define[^\n]*/, "", text)
	if (text ~ /^[ \n]*(static|(struct|enum) [a-z_]+ \{)/)
		return 0
	while (match(text, /hvo_[a-z0-9_]+(\(|;)/)) {
		s = substr(text, RSTART, RLENGTH - 1)
		if (s in public)
			names[++n] = s
		text = substr(text, RSTART + RLENGTH)
	}
	return n
}

function end_block(   i, n, names, all, nr_all, k, main, type)
{
	nr_all = 0
	for (i = 1; i <= nr_pieces; i++)
		if (kinds[i] == "d") {
			n = declared(pieces[i], names)
			for (k = 1; k <= n; k++)
				all[++nr_all] = names[k]
		}
	if (nr_all)
		end_functions(all, nr_all)
	else if (nr_pieces && subject != "")
		end_other()
	nr_pieces = 0
}

function end_functions(all, nr_all,   i, n, names, k)
{
	main = all[1]
	groups[++nr_groups] = main
	group_subject[main] = subject
	group_header[main] = header
		for (k = 1; k <= nr_all; k++) {
		page_of[all[k]] = main
		group_names[main] = group_names[main] (k > 1 ? ", " : "") all[k]
	}
	if (kinds[1] == "k") {
		read_comment(pieces[1])
		if (c_name == main) {
			documented[main] = 1
			brief[main] = c_brief
			params[main] = c_params
			text_of[main] = c_text
			context[main] = c_context
			result[main] = c_return
		}
	}
	for (i = 1; i <= nr_pieces; i++) {
		if (kinds[i] == "d") {
			synopsis[main] = synopsis[main] (synopsis[main] == "" ? "" : "\n") pieces[i]
			continue
		}
		if (i == 1 && documented[main])
			continue
		read_comment(pieces[i])
		n = i < nr_pieces ? declared(pieces[i + 1], names) : 0
		more[main] = more[main] ".TP\n"
		for (k = 1; k <= n; k++)
			more[main] = more[main] (k > 1 ? ", " : "") "\\fB" names[k] "\\fR()"
		more[main] = more[main] "\n" c_brief c_params c_text
		if (c_context != "")
			more[main] = more[main] "Context: " c_context
		if (c_return != "")
			more[main] = more[main] "Return: " prose(c_return) "\n"
	}
}

# Types, macros and what a subject begins with.
function end_other(   i, s, type)
{
	s = ""
	type = ""
	for (i = 1; i <= nr_pieces; i++) {
		if (kinds[i] == "d") {
			if (match(pieces[i], /(struct|enum) hvo_[a-z_]+ \{/))
				type = substr(pieces[i], RSTART, RLENGTH - 2)
			s = s code(pieces[i])
			continue
		}
		read_comment(pieces[i])
		if (c_name != "")
			s = s ".SS " c_name "\n" prose(sentence(c_brief)) ".\n"
		else
			s = s ".P\n"
		s = s c_params (c_params != "" && c_text != "" ? ".P\n" : "") c_text
		if (c_context != "")
			s = s ".P\nContext: " c_context
		if (c_return != "")
			s = s ".P\nReturn: " prose(c_return) "\n"
	}
	other[subject] = other[subject] s
	if (type != "") {
		if (s !~ /^\.SS /)
			s = ".SS " type "\n" s
		definition[type] = s
	}
}

# ---- input ---------------------------------------------------------------------

FNR == 1 {
	kind = "page"
	if (FILENAME ~ /subjects$/)
		kind = "subjects"
	else if (FILENAME ~ /\.map$/)
		kind = "map"
	else if (FILENAME ~ /\.h$/)
		kind = "header"
	header = FILENAME
	sub(/^.*include\//, "", header)
	subject = (header, "") in subject_of ? subject_of[header, ""] : ""
	in_comment = depth = skip = nr_pieces = 0
}

kind == "subjects" {
	if (/^#/ || /^$/)
		next
	split($0, field, /\t+/)
	if (field[3] == "-")
		field[3] = ""
	subjects[++nr_subjects] = field[1]
	subject_of["hvo/" field[2], field[3]] = field[1]
	subject_header[field[1]] = "hvo/" field[2]
	subject_brief[field[1]] = field[4]
	next
}

kind == "map" {
	if (match($0, /hvo_[a-z0-9_]+;/))
		public[substr($0, RSTART, RLENGTH - 1)] = 1
	next
}

kind == "page" {
	written[++nr_lines] = $0
	next
}

/^\/\* ---- .* -* \*\/$/ {
	end_block()
	title = $0
	sub(/^\/\* ---- /, "", title)
	sub(/ -+ \*\/$/, "", title)
	if ((header, title) in subject_of)
		subject = subject_of[header, title]
	else if (!((header, "") in subject_of))
		subject = ""
	next
}

/^#ifndef HVO_.*_H$/ || /^#define HVO_.*_H$/ || /^#include/ || /SPDX/ { next }
/^#ifdef __cplusplus/ { skip = 1; next }
/^#else/ && skip { skip = 0; next }
/^#endif/ { skip = 0; end_block(); next }
skip || /^extern "C"/ || (/^}$/ && !depth) { next }

/^\/\*/ && !in_comment {
	if (/^\/\*\*/)
		end_block()
	comment_kind = /^\/\*\*/ ? "k" : "c"
	comment = $0
	sub(/^\/\*\*?[ \t]?/, "", comment)
	in_comment = !sub(/[ \t]*\*\/$/, "", comment)
	if (!in_comment)
		piece(comment_kind, comment)
	next
}

in_comment {
	line = $0
	in_comment = !sub(/[ \t]*\*\/$/, "", line)
	sub(/^[ \t]*\*? ?/, "", line)
	if (in_comment || line != "")
		comment = comment == "" ? line : comment "\n" line
	if (!in_comment)
		piece(comment_kind, comment)
	next
}

/^[ \t]*$/ && !depth {
	end_block()
	next
}

{
	piece("d", $0)
	depth += gsub(/\{/, "{") - gsub(/\}/, "}")
}

# ---- output --------------------------------------------------------------------

function open_page(name, title, about, header)
{
	file = out "/" name ".3"
	after_heading = 0
	put(".TH \"" name "\" \"3\" \"" date "\"\n.SH NAME\n" title " \\- " roff(about))
	put(".SH SYNOPSIS\n" code("#include <" header ">"))
}

function section(title, text)
{
	if (text != "")
		put(".SH " title "\n" text)
}

function close_page(see)
{
	section("SEE ALSO", (see == "" ? "" : "\\fB" see "\\fR(3),\n") "\\fBlibhvo\\fR(3)")
	close(file)
}

# The types that a page's functions take, each once.
function types_of(rest,   type, list, seen)
{
	list = ""
	while (match(rest, /(struct|enum) hvo_[a-z_]+/)) {
		type = substr(rest, RSTART, RLENGTH)
		rest = substr(rest, RSTART + RLENGTH)
		if (type in definition && !(type in seen))
			list = list definition[type]
		seen[type] = 1
	}
	return list
}

function write_functions(main,   i, n, names, text)
{
	open_page(main, group_names[main], brief[main], group_header[main])
	put(code(synopsis[main]))
	text = params[main] (params[main] != "" && text_of[main] != "" ? ".P\n" : "") \
		text_of[main] more[main]
	section("DESCRIPTION", text == "" ? prose(sentence(brief[main])) "." : text)
	section("TYPES", types_of(synopsis[main]))
	section("CONTEXT", sentence(context[main]))
	section("RETURN VALUE", result[main] == "" ? "" : sentence(errors(result[main])))
	close_page(group_subject[main])

	n = split(group_names[main], names, ", ")
	for (i = 2; i <= n; i++) {
		file = out "/" names[i] ".3"
		put(".so man3/" main ".3")
		close(file)
	}
}

function functions_of(subject,   i, main, s, n, k, names)
{
	s = ""
	for (i = 1; i <= nr_groups; i++) {
		main = groups[i]
		if (group_subject[main] != subject)
			continue
		s = s ".TP\n"
		n = split(group_names[main], names, ", ")
		for (k = 1; k <= n; k++)
			s = s "\\fB" names[k] "\\fR(3)" (k < n ? ", " : "\n")
		s = s prose(brief[main]) "\n"
	}
	return s
}

function write_subject(name)
{
	open_page(name, name, subject_brief[name], subject_header[name])
	section("DESCRIPTION", other[name])
	section("FUNCTIONS", functions_of(name))
	close_page("")
}

# What is written by hand, with the list in its place.
function write_overview(   i, k, name)
{
	file = out "/libhvo.3"
	for (i = 1; i <= nr_lines; i++) {
		if (written[i] !~ /^@FUNCTIONS@/) {
			put(written[i])
			continue
		}
		for (k = 1; k <= nr_subjects; k++) {
			name = subjects[k]
			put(".SS " sentence(subject_brief[name]) "\n.BR " name " (3)\n" functions_of(name))
		}
	}
	close(file)
}

function complain(what)
{
	print what
	rc = 1
}

function check_all(   name, i, main, is_function)
{
	for (name in public)
		if (!(name in page_of))
			complain(name ": in no header")
	for (i = 1; i <= nr_groups; i++) {
		main = groups[i]
		is_function = synopsis[main] ~ (main "\\(")
		if (!documented[main])
			complain(main ": no kernel-doc right before it (group: " group_names[main] ")")
		else if (is_function && context[main] == "")
			complain(main "(): its kernel-doc has no Context:")
		else if (is_function && synopsis[main] !~ ("void " main "\\(") && result[main] == "")
			complain(main "(): its kernel-doc has no Return:")
		if (group_subject[main] == "")
			complain(main ": of no subject (man/subjects)")
	}
	exit rc
}

END {
	end_block()
	if (check)
		check_all()
	"date -u -d @${SOURCE_DATE_EPOCH:-$(date +%s)} +%Y-%m-%d" | getline date
	for (i = 1; i <= nr_groups; i++)
		write_functions(groups[i])
	for (i = 1; i <= nr_subjects; i++)
		write_subject(subjects[i])
	write_overview()
}
