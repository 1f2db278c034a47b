"""Program that runs the Python code on its standard input. Top-level `await` is allowed, as in a notebook."""

import ast
import asyncio
import inspect
import sys

code = compile(sys.stdin.read(), "code", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
result = eval(code, {"__name__": "__main__"})
if inspect.iscoroutine(result):
    asyncio.run(result)
