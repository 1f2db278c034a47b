"""TCP proxy that drops a share of the responses, so that a client does not learn that its report was recorded.

Prints its own port. Each line of standard input has the port of the server and the share to drop (0 to 1).
"""

import asyncio
import contextlib
import random
import sys


async def main() -> None:
    server_port, dropped_share = 0, 0.0
    draw = random.Random(0)

    async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter, is_response: bool) -> None:
        while data := await source.read(65_536):
            if is_response and draw.random() < dropped_share:
                return  # The server has committed the report.
            sink.write(data)
            await sink.drain()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", server_port)
            copies = [
                asyncio.ensure_future(copy(reader, server_writer, is_response=False)),
                asyncio.ensure_future(copy(server_reader, writer, is_response=True)),
            ]
            done, unfinished = await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
            for task in unfinished:
                task.cancel()
            for task in done:
                task.exception()
            server_writer.close()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(listener.sockets[0].getsockname()[1], flush=True)
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        port, share = line.split()
        server_port, dropped_share = int(port), float(share)


if __name__ == "__main__":
    asyncio.run(main())
