"""Arguments of reports, as expressions that both SDKs evaluate with the names of `values.py`."""

from collections.abc import Iterator

TEXTS = [
    "None", "''", "'x'", "' x '", "5", "1.5", "True", "UUID", "{'a': 1}", "['a']", "b'ab'", r"b'\xff'",
    "bytearray(b'ab')", "memoryview(b'ab')", "Str('s')", "Color.RED", "TextColor.RED", "Level.ONE", "Pair.BOTH",
    "AgentExecutionStatus.Completed", r"'\u00e9\u65e5\U0001F600'", r"'a\x00b'", r"'a\x7fb'", r"'a\nb'", r"'\u2028'",
    r"'\ud800'", "'a/b'", "'.'", "'x' * 255", "'x' * 256",
]  # fmt: skip

COUNTS = [
    "7", "0", "-1", "'7'", "' 7 '", "'+7'", "'-7'", "'07'", "'7.0'", "'7.5'", "'1_0'", "'1e3'", "'0x7'", "''",
    r"'\u0667'", "b'7'", "7.0", "7.5", "-0.0", "1e12", "1e20", "True", "False", "None", "NAN", "INF", "2**53 + 1",
    "10**12", "10**12 + 1", "-(10**12) - 1", "2**70", "Int(7)", "Float(7.0)", "Level.ONE", "TextColor.RED",
    "Decimal('7')", "Decimal('7.5')", "Fraction(7, 1)", "'many'", "[7]", "timedelta(seconds=7)",
]  # fmt: skip

# Form ("Task" or "both"), name of the argument, and expressions of its values.
_ARGUMENTS: list[tuple[str, str, list[str]]] = [
    ("both", "tokens", [
        "None", "Tokens(completion_tokens=1, prompt_tokens=2)", "{'prompt_tokens': 7}", "{}",
    ]),
    ("Task", "tokens", [
        "Tokens()", "Tokens(completion_tokens=None, prompt_tokens=None, cache_read_tokens=None)",
        "Tokens(completion_tokens=1, prompt_tokens=2, total_tokens=99)",
        "{'completion_tokens': 1, 'prompt_tokens': 2, 'total_tokens': 99}",
        "{'completion_tokens': 1, 'prompt_tokens': 2, 'cache_read_tokens': 3, 'cache_write_tokens': 4}",
        "{'input_tokens': 1}", "{'input_tokens': 5, 'output_tokens': 2}",
        "{'prompt_tokens': 5, 'completion_tokens': 2, 'prompt_tokens_details': {'cached_tokens': 4}}",
        "{1: 2}", "{'prompt_tokens': None, 'completion_tokens': 4}", "Dict(prompt_tokens=7)",
        "types.MappingProxyType({'prompt_tokens': 7})", "5", "'5'", "[1, 2]", "[]", "()", "False",
        "types.SimpleNamespace(prompt_tokens=1)", "Usage()", "'{\"prompt_tokens\": 7}'",
        *(f"{{'prompt_tokens': {count}}}" for count in COUNTS),
    ]),
    ("both", "duration", ["None", "1.5", "0"]),
    ("Task", "duration", [
        "1", "-1", "-0.0", "0.1", "1e-7", "1e22", "1e20", "1e9", "-1e9", "1e9 + 1", "1e308", "2**53 + 1", "2**70",
        "10**400", "NAN", "INF", "-INF", "True", "False", "'1.5'", "'1,5'", "''", "' '", "' 1.5 '", "'+1.5'", "'1_0'",
        "'.5'", "'5.'", "'0x1p3'", "'1e3'", "'1e400'", "'nan'", "'-nan'", "'inf'", "'Infinity'", r"'\u0661'",
        "b'1.5'", r"b'\xff'", "bytearray(b'1.5')", "Decimal('1.5')", "Decimal('NaN')", "Fraction(3, 2)", "Float(1.5)",
        "Int(2)", "Level.ONE", "Color.RED", "Floating()", "timedelta(seconds=2)", "[1]", "1+0j",
    ]),
    ("both", "is_success", ["True", "False", "None"]),
    ("Task", "is_success", [
        "'yes'", "'no'", "'true'", "'TRUE'", "'True'", "' true '", "'on'", "'off'", "'t'", "'n'", "'1'", "'0'", "'1.0'",
        "'maybe'", "''", "'None'", "0", "1", "2", "-1", "1.0", "0.0", "-0.0", "0.5", "NAN", "Decimal(1)", "Decimal(0)",
        "Fraction(1)", "1+0j", "Int(1)", "Level.ONE", "Str('yes')", "TextColor.RED", "b'true'", "b'1'", "[]", "{}",
    ]),
    ("both", "used_tools", [
        "None", "[]", "()", "['a', 'b']", "('a', 'b')", "{'a'}", "(tool for tool in ['a', 'b'])", "[1]", "[None]",
        "'abc'", "''", "0", "False", "{}", "{'a': 1}",
    ]),
    ("Task", "used_tools", [
        "frozenset({'a'})", "['a', 1]", "{'a': 1}.keys()", "{1: 'a'}.values()", "collections.deque(['a'])", "['']",
        "['a', 'a']", "[Str('a')]", "[TextColor.RED]", "[Color.RED]", "[b'a']", r"[b'\xff']", r"['\ud800']",
        "[UUID]", "[True]", "iter(['a'])", "map(str, [1])", "List(['a'])", "b'ab'", "bytearray(b'ab')", "range(2)",
        "TextColor", "['x' * 255]", "['x' * 256]", "types.SimpleNamespace()", "Plain()",
    ]),
    ("both", "llm_response", ["None", "{}", "NAN", "UUID", "Usage(modelName='q')"]),
    ("Task", "llm_response", [
        # JSON values
        "[]", "{'a': {'b': [1, {'c': None}]}}", "[1, 'a', None, True, 1.5]", "'text'", "''", "'{\"a\": 1}'", "True",
        "False", "{'z': 1, 'a': 2, 'm': 3}", "{'': 1}", r"'<a href=\"x\">&\'/\\'",
        # Numbers
        "0", "5", "-1", "1.5", "1.0", "0.1", "1e22", "1e16", "1e15", "1e-5", "1e-4", "5e-324", "1.7976931348623157e308",
        "123456789.123456789", "-0.0", "INF", "-INF", "[NAN, INF, -INF]", "{'a': NAN}", "2**63", "2**64", "2**70",
        "-(2**70)", "[2**53 + 1]", "{'big': 2**70}", "10**4298", "10**4299", "10**5000", "1+2j", "1j", "-1.5j",
        "complex(NAN, 1)", "Fraction(1, 2)", "Fraction(2)", "Decimal('1.10')", "Decimal('NaN')", "Decimal('1E+5')",
        "Decimal('-0')",
        # Strings and bytes
        r"'\u00e9\u65e5\u672c'", r"'\U0001F600'", r"'a\x00b\x1f\x7f'", r"'\b\f\n\r\t'", r"'\u2028\u2029'",
        r"'\ud800'", r"{'\ud800': 1}", "b'abc'", r"'\u00e9'.encode()", r"b'\xff\xfe'", "bytearray(b'abc')",
        "memoryview(b'abc')", "UUID", "pathlib.Path('/a/b')", "pathlib.PurePosixPath('a')", "re.compile('a')",
        "re.compile(b'a')", "ipaddress.ip_address('1.2.3.4')", "ipaddress.ip_address('::1')",
        "ipaddress.ip_network('10.0.0.0/8')", "ipaddress.ip_interface('10.0.0.1/8')",
        # Times
        "NAIVE", "AWARE", "EASTERN", "datetime(2026, 1, 2)", "datetime(2026, 1, 2, tzinfo=UTC)", "datetime(1, 1, 1)",
        "datetime(2026, 1, 2, 3, 4, 5, 500000)", "datetime(2026, 1, 1, tzinfo=dateutil.tz.tzutc())",
        "datetime(2026, 1, 1, tzinfo=timezone(-timedelta(hours=3, minutes=30)))",
        "datetime(2026, 1, 1, tzinfo=timezone(timedelta(seconds=90)))",
        "date(2026, 1, 2)", "time(3, 4, 5)", "time(3, 4)", "time(3, 4, 5, 6000, tzinfo=UTC)", "EASTERN.timetz()",
        "timedelta(days=1, seconds=2, milliseconds=500)", "timedelta(seconds=-5)", "timedelta(0)",
        "timedelta(minutes=90)", "timedelta(days=-1, seconds=1)", "timedelta(microseconds=1)", "timedelta(days=400)",
        "timedelta(days=7)", "-timedelta(days=400, hours=1)",
        # Enums, and subclasses of built-in types
        "Color.RED", "TextColor.RED", "Level.ONE", "Pair.BOTH", "AgentExecutionStatus.Completed", "Str('s')",
        "Int(3)", "Float(1.5)", "Float('nan')", "Dict(a=1)", "List([1])", "Typed(a=1)",
        "collections.OrderedDict(b=1, a=2)", "collections.defaultdict(int, a=1)", "collections.Counter('aab')",
        "collections.ChainMap({'a': 1}, {'b': 2})", "collections.UserDict(a=1)", "collections.UserList([1])",
        # Collections
        "(1, 'a')", "()", "{1}", "{1: {2}}", "frozenset({1})", "Named()", "collections.deque([1, 2])", "generator()",
        "(number for number in range(3))", "iter([1, 2])", "map(str, [1, 2])", "range(3)", "{'a': 1}.keys()",
        "{'a': 1}.values()", "{'a': 1}.items()", "types.MappingProxyType({'a': 1})", "array.array('i', [1])",
        "enumerate(['a'])", "zip([1], [2])", "reversed([1, 2])", "{'a': generator()}", "[(1, {2})]",
        # Keys
        "{1: 'a'}", "{None: 'a'}", "{True: 'a', False: 'b'}", "{1.5: 'a'}", "{1.0: 'a'}", "{1e22: 'a'}", "{-0.0: 'a'}",
        "{INF: 'a'}", "{NAN: 'a'}", "{2**70: 'a'}", "{(1, 2): 'a'}", "{(): 'a'}", "{(1, (2, 'b')): 'a'}",
        "{(None, True): 'a'}", "{UUID: 'a'}", "{AWARE: 'a'}", "{NAIVE: 'a'}", "{date(2026, 1, 2): 'a'}",
        "{time(3, 4): 'a'}", "{timedelta(seconds=5): 'a'}", "{Color.RED: 'a'}", "{Level.ONE: 'a'}", "{Pair.BOTH: 'a'}",
        "{b'k': 'a'}", r"{b'\xff': 'a'}", "{Decimal('1.10'): 'a'}", "{1: 'a', '1': 'b'}", "{'1': 'a', 1: 'b', 2: 'c'}",
        "{frozenset({1}): 'a'}", "{Str('s'): 'a'}", "{Int(3): 'a'}", "{pathlib.Path('/a'): 'a'}", "{Named(): 'a'}",
        "{ipaddress.ip_address('1.2.3.4'): 'a'}", "{int: 'a'}", "{Fraction(1, 2): 'a'}", "{1+2j: 'a'}",
        # Models and dataclasses
        "Usage()", "Usage(modelName='q')", "Run()", "Login()", "Open(a=1, b='2')", "Open(b=AWARE)", "Rich()",
        "Rich(inner=Usage(modelName='q'))", "Rich(inner={1: {2}, None: b'x'})", "Rich(inner=Plain())",
        "Rich(inner=range(2))", r"Rich(raw=b'\xff')", "{'run': Run(), 'usage': [Usage()]}",
        "pydantic.SecretStr('pw')", "pydantic.RootModel[list]([1, 2])", "pydantic.create_model('Made', a=(int, 1))()",
        "Usage.model_construct(model=5)", "Point()", "Point(at=AWARE)", "Point(at=Point())", "Point(at={1: {2}})",
        "Private()", "Path3()", "Checked()", "Tokens(completion_tokens=1)", "{'usage': Tokens(prompt_tokens=2)}",
        "Configuration(api_key='zzz', base_url='http://h', organization_id='o')",
        "[Usage(), Point(), AWARE, b'x', UUID, Decimal('1'), Color.RED, {3}]",
        # Objects without a JSON representation
        "Plain()", "Slotted()", "Dumpable()", "Floating()", "object()", "{'k': Plain()}", "[Plain(), 1]",
        "types.SimpleNamespace(a=1)", "Exception('x')", "ValueError('x')", "Plain", "int", "Usage", "len", "print",
        "lambda: 1", "types", "typing.List[int]", "...", "NotImplemented", "slice(1, 2)",
        "dateutil.tz.tzutc()", "UTC", "cycle()", "{'a': cycle()}",
        # Depth
        "nested(100)", "nested(200)", "nested(300)", "nested(1000)", "nested(10_000)",
    ]),
    ("both", "id", ["None", "'x'", "5", "UUID"]),
    ("both", "input", ["None", "'x'", "5", "UUID"]),
    ("both", "result", ["None", "'x'", "5", "UUID"]),
    ("Task", "id", TEXTS),
    ("Task", "input", TEXTS),
    ("Task", "result", TEXTS),
]  # fmt: skip

# Form, and expressions that select the agent. The agent is part of the path, not of the body.
_AGENTS: list[tuple[str, list[str]]] = [
    ("both", [
        "dict()", "dict(agent_id=None)", "dict(agent_id='')", "dict(agent_id='a/b')", "dict(agent_id='a b?c#d')",
        r"dict(agent_id='\u00e9')", "dict(agent_id='..')", "dict(agent_id='%2F')", "dict(agent_id=5)",
        "dict(agent_id=UUID)", "dict(agent_id='x:y@z,w;v+u=t&s!$()*~')", "dict(agent_id=Str('a'))",
        "dict(configuration=Configuration(agent_id='configured'))",
        "dict(agent_id='given', configuration=Configuration(agent_id='configured'))",
        "dict(agent_id=AGENT, configuration='x')", "dict(agent_id=AGENT, configuration={'api_key': 'q'})",
        "dict(agent_id=AGENT, configuration=Configuration(api_key=None))",
        "dict(agent_id=AGENT, configuration=Configuration(api_key=''))",
    ]),
    ("Backend", [
        "dict(agent=types.SimpleNamespace(id='own'))", "dict(agent=types.SimpleNamespace(id='own'), agent_id='given')",
        "dict(agent=types.SimpleNamespace(id=None), agent_id='given')", "dict(agent=types.SimpleNamespace(id=7))",
        "dict(agent={}, agent_id='given')", "dict(agent={'id': 'x'})", "dict(agent='x')", "dict(agent=None)",
    ]),
]  # fmt: skip

_FULL = (
    "dict(agent_id=AGENT, id='t-9', input='hi', llm_response={'a': 1}, tokens=Tokens(completion_tokens=1, "
    "prompt_tokens=2, cache_read_tokens=3, cache_write_tokens=4), is_success=True, result='done', duration=2.5, "
    "used_tools=['x', 'y'])"
)


def _rows() -> Iterator[tuple[str, str, str]]:
    forms = {"both": ("Task", "Backend"), "Task": ("Task",), "Backend": ("Backend",)}
    for form in forms["both"]:
        yield "the least", form, "dict(agent_id=AGENT)"
        yield "everything", form, _FULL
    for form_name, argument, values in _ARGUMENTS:
        for value in values:
            for form in forms[form_name]:
                yield f"{argument}={value}", form, f"dict(agent_id=AGENT, {argument}={value})"
    for form_name, expressions in _AGENTS:
        for expression in expressions:
            for form in forms[form_name]:
                yield f"agent: {expression}", form, expression


# Form and expression of each row, by the name of the row.
ROWS: dict[str, tuple[str, str]] = {f"{name}/{form}": (form, expression) for name, form, expression in _rows()}
