# SPDX-License-Identifier: MIT
"""Mutants of C in kernel style: what can be done wrong to each function, made from its statements."""

import random
import re

KINDS = ('call', 'condition', 'off-by-one', 'lock', 'undo', 'swap')

# Oracles, not what they judge; steps are nothing in the library.
ORACLE = re.compile(r'(HVO_ASSERT|HVO_PANIC|lock_assert_held|hvo_step\w*|_Static_assert)\b')
RELEASE = re.compile(r'(lock_release|m->ops->read_unlock|\w+_unlock)\b')
DECLARATION = re.compile(r'(?:const|static|struct|enum|union|unsigned|void|bool|char|int|\w+_t)\b(?!\s*\()')
JUMP = re.compile(r'(?:return|break|continue|goto)\b')
COUNTER = re.compile(r'(?:counter_\w+|__atomic_(?:fetch|sub|add)\w*)\s*\(|(?:\+\+|--)|[^=<>!]*(?:\+\+|--|[-+|&^]=)')
STORE = re.compile(r'[^=(]*(?:->|\[|\*)[^=]*[^=<>!]=[^=]')
CALL = re.compile(r'(?:\(void\))?[A-Za-z_][\w.>\[\]-]*\s*\(')


class Mutant:
	def __init__(self, path, function, kind, start, end, text, what):
		self.path, self.function, self.kind = path, function, kind
		self.start, self.end = start, end  # of what @text comes in the place of
		self.text, self.what = text, what
		self.lines = ()

	def key(self):
		return f'{self.path} {self.function} {self.kind}: {self.what}'

	def apply(self, source):
		return source[:self.start] + self.text + source[self.end:]


class Statement:
	"""@bodies: lists of the statements inside; @condition: the range of what is asked."""

	def __init__(self, kind, start):
		self.kind, self.start, self.end = kind, start, start
		self.condition, self.bodies = None, []


def blank(source):
	"""The source, with spaces for comments, texts and the preprocessor's lines."""
	def spaces(m):
		return re.sub(r'[^\n]', ' ', m.group(0))

	source = re.sub(r'/\*.*?\*/|//[^\n]*|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)+\'', spaces, source, flags=re.S)
	return re.sub(r'^[ \t]*#(?:[^\n]*\\\n)*[^\n]*', spaces, source, flags=re.M)


def short(text):
	text = re.sub(r'\s+', ' ', text).strip()
	return text if len(text) <= 100 else text[:97] + '...'


class Parser:
	"""Statements of a function, with where they are."""

	def __init__(self, text):
		self.text = text

	def skip(self, at):
		while self.text[at].isspace():
			at += 1
		return at

	def closing(self, at):
		"""Behind the bracket that closes the one at @at."""
		depth = 0
		while True:
			c = self.text[at]
			depth += (c in '([{') - (c in ')]}')
			at += 1
			if not depth:
				return at

	def block(self, at):
		"""@at: the brace. Statements, and behind the closing one."""
		found, at = [], self.skip(at + 1)
		while self.text[at] != '}':
			s = self.statement(at)
			found.append(s)
			at = self.skip(s.end)
		return found, at + 1

	def body(self, s, at):
		at = self.skip(at)
		if self.text[at] == '{':
			inner, s.end = self.block(at)
		else:
			inner = [self.statement(at)]
			s.end = inner[0].end
		s.bodies.append(inner)

	def statement(self, at):
		word = re.compile(r'\w*').match(self.text, at).group(0)
		s = Statement(word, at)
		if self.text[at] == '{':
			s.kind = 'block'
			inner, s.end = self.block(at)
			s.bodies.append(inner)
		elif word in ('if', 'while', 'for', 'switch'):
			begin = self.text.index('(', at)
			s.condition = (begin + 1, self.closing(begin) - 1)
			self.body(s, s.condition[1] + 1)
			behind = self.skip(s.end)
			if word == 'if' and re.compile(r'else\b').match(self.text, behind):
				self.body(s, behind + len('else'))
		elif word == 'do':
			self.body(s, at + len('do'))
			begin = self.text.index('(', s.end)
			s.condition = (begin + 1, self.closing(begin) - 1)
			s.end = self.text.index(';', s.condition[1]) + 1
		elif word in ('case', 'default') or re.compile(r'\w+\s*:').match(self.text, at):
			s.kind = 'label'
			s.end = self.text.index(':', at) + 1
		else:
			s.kind = 'simple'
			while self.text[at] != ';':
				at = self.closing(at) if self.text[at] in '([{' else at + 1
			s.end = at + 1
		return s


def functions(text):
	"""Name and statements of each."""
	parser = Parser(text)
	for m in re.finditer(r'^\{$', text, flags=re.M):
		head = text[text.rfind('\n\n', 0, m.start()) + 1:m.start()]
		name = re.search(r'(\w+)\s*\(', head)
		if name and head.rstrip().endswith(')'):
			yield name.group(1), parser.block(m.start())[0]


class Maker:
	def __init__(self, path, source):
		self.path, self.source, self.text = path, source, blank(source)
		self.found, self.function = [], None

	def add(self, kind, start, end, text, what):
		self.found.append(Mutant(self.path, self.function, kind, start, end, text, what))

	def replace_in(self, kind, unit, start, end, text):
		"""In an expression, the range @unit, something small becomes @text."""
		before = self.text[unit[0]:unit[1]]
		after = self.text[unit[0]:start] + text + self.text[end:unit[1]]
		self.add(kind, start, end, text, f'{short(before)} => {short(after)}')

	def expression(self, start, end, is_for=False):
		unit, text = (start, end), self.text[start:end]
		for m in re.finditer(r'&&|\|\||==|!=', text):
			turned = {'&&': '||', '||': '&&', '==': '!=', '!=': '=='}[m.group(0)]
			self.replace_in('condition', unit, start + m.start(), start + m.end(), turned)
		for m in re.finditer(r'(?<=\s)(<=|>=|<|>)(?=\s)', text):
			turned = {'<': '<=', '<=': '<', '>': '>=', '>=': '>'}[m.group(0)]
			self.replace_in('off-by-one', unit, start + m.start(), start + m.end(), turned)
		for m in re.finditer(r'\s[-+]\s1u?\b(?!\s*<<)', text):
			self.replace_in('off-by-one', unit, start + m.start(), start + m.end(), '')
		if is_for:
			for m in re.finditer(r'= 0(?=;)', text):
				self.replace_in('off-by-one', unit, start + m.start(), start + m.end(), '= 1')

	def simple(self, s):
		text = self.text[s.start:s.end]
		if ORACLE.match(text):
			return
		self.expression(s.start, s.end)
		if JUMP.match(text) or DECLARATION.match(text):
			return
		kind = 'undo' if COUNTER.match(text) or STORE.match(text) else None
		m = CALL.match(text)
		if not kind and m and Parser(text).closing(m.end() - 1) == len(text) - 1:
			kind = None if RELEASE.match(text) else 'call'
		if kind:
			self.add(kind, s.start, s.end, ';', f'{short(text)} => ;')

	def is_plain(self, s):
		text = self.text[s.start:s.end]
		return (s.kind == 'simple' and not JUMP.match(text) and not DECLARATION.match(text) and
			not ORACLE.match(text))

	def neighbours(self, first, second):
		a, b = self.text[first.start:first.end], self.text[second.start:second.end]
		between = self.source[first.end:second.start]
		swapped = self.source[second.start:second.end] + between + self.source[first.start:first.end]
		if self.is_plain(second) and RELEASE.match(b):
			if not self.is_plain(first) and first.kind == 'simple':
				return
			self.add('lock', first.start, second.end, swapped, f'{short(b)} before {short(a)}')
		elif self.is_plain(first) and self.is_plain(second):
			self.add('swap', first.start, second.end, swapped, f'{short(a)} <=> {short(b)}')

	def statements(self, siblings):
		for first, second in zip(siblings, siblings[1:]):
			self.neighbours(first, second)
		for s in siblings:
			if s.kind == 'simple':
				self.simple(s)
			if s.condition:
				start, end = s.condition
				self.expression(start, end, s.kind == 'for')
				if s.kind in ('if', 'while', 'do'):
					cond = self.source[start:end]
					self.add('condition', start, end, f'!({cond})',
						 f'{s.kind} ({short(self.text[start:end])}) => !')
			for inner in s.bodies:
				self.statements(inner)

	def all(self):
		for self.function, siblings in functions(self.text):
			self.statements(siblings)
		seen = {}
		for m in self.found:
			nr = seen[m.key()] = seen.get(m.key(), 0) + 1
			if nr > 1:
				m.what += f' #{nr}'
			first = self.source.count('\n', 0, m.start) + 1
			m.lines = range(first, first + self.source.count('\n', m.start, m.end) + 1)
		return self.found


def mutants_of(path, source):
	return Maker(path, source).all()


def chosen(mutants, seed):
	"""All, in an order in which each begin of the list is even over files and kinds."""
	dice = random.Random(seed)
	groups = {}
	for m in mutants:
		groups.setdefault((m.path, m.kind), []).append(m)
	ranked = []
	for key in sorted(groups):
		dice.shuffle(groups[key])
		ranked += [(rank, dice.random(), m) for rank, m in enumerate(groups[key])]
	return [m for _, _, m in sorted(ranked, key=lambda r: r[:2])]
