"""A client of a WebSocket that connects again whenever the server closes: `python echoing.py URL AUTHORITY`.

It runs with the Python of a service, until its standard input ends. Then it prints the number of echoes, and why each
connection ended.
"""

import asyncio
import json
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


async def main(url: str, authority: str) -> None:
    """Echo until told to stop."""
    echoes, ends = 0, []
    told = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    origin = url.replace("wss://", "https://").partition("/api")[0]
    async for socket in connect(url, ssl=ssl.create_default_context(cafile=authority), origin=origin):
        try:
            while not told.done():
                await socket.send(str(echoes))
                async with asyncio.timeout(20):
                    assert await socket.recv() == str(echoes)
                echoes += 1
                await asyncio.sleep(0.05)
        except ConnectionClosed as closed:
            ends.append(closed.rcvd.code if closed.rcvd else None)
        else:
            await socket.close()
            break
    sys.stdout.write(json.dumps({"echoes": echoes, "ends": ends}))


asyncio.run(main(*sys.argv[1:]))
