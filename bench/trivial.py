"""A server that does nothing: what the load generator reaches against it is what it can do.

python -m bench.trivial PORT
"""

import asyncio
import sys
from typing import override

import uvloop

BODY = b'{"code":0,"msg":"success","data":"' + b"x" * 700 + b'"}'
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)
) + BODY


class Nothing(asyncio.Protocol):
    """Answers every request, which comes in one piece, with the same bytes."""

    @override
    def connection_made(self, transport):
        self._transport = transport

    @override
    def data_received(self, data):
        self._transport.write(ANSWER)


async def serve(port):
    server = await asyncio.get_running_loop().create_server(Nothing, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
