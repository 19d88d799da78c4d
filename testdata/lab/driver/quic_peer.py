"""A QUIC server or client on aioquic, as a process of a host: `serve PORT CHAIN KEY [retry]`, `ask ADDRESS PORT NAME SECONDS [ROOT]`,
`talk ADDRESS PORT NAME TIMES [move]`, which asks so often on one connection, half of it from another port.

The client prints `answered`, `silent` when the time is over, or `failed` and why. With a root certificate it checks the server's.
Its secrets go to the file that SSLKEYLOGFILE names.
"""

import asyncio
import os
import ssl
import sys

from aioquic.asyncio import connect, serve
from aioquic.quic.configuration import QuicConfiguration

PAGE = bytes(range(32, 127)) * 40


def answering(reader, writer):
    async def answer():
        await reader.read()
        writer.write(PAGE)
        writer.write_eof()

    asyncio.ensure_future(answer())


async def serving(port, chain, key, *options):
    configuration = QuicConfiguration(is_client=False, alpn_protocols=["h3", "lab"])
    configuration.load_cert_chain(chain, key)
    await serve("::", int(port), configuration=configuration, stream_handler=answering, retry="retry" in options)
    await asyncio.Event().wait()


async def exchange(address, port, name, root):
    configuration = QuicConfiguration(is_client=True, alpn_protocols=["h3"], server_name=name)
    if root:
        configuration.load_verify_locations(root)
    else:
        configuration.verify_mode = ssl.CERT_NONE
    if keys := os.environ.get("SSLKEYLOGFILE"):
        configuration.secrets_log_file = open(keys, "a", buffering=1)
    async with connect(address, port, configuration=configuration) as connection:
        reader, writer = await connection.create_stream()
        writer.write(b"GET /\r\n")
        writer.write_eof()
        return await reader.read()


async def asking(address, port, name, seconds, root=None):
    try:
        page = await asyncio.wait_for(exchange(address, int(port), name, root), float(seconds))
        print("answered" if page == PAGE else "cut")
    except TimeoutError:
        print("silent")
    except Exception as error:
        print(f"failed: {error!r}")


async def talking(address, port, name, times, move=None):
    configuration = QuicConfiguration(is_client=True, alpn_protocols=["h3"], server_name=name, verify_mode=ssl.CERT_NONE)
    async with connect(address, int(port), configuration=configuration) as connection:
        for number in range(int(times)):
            if move and number == int(times) // 2:
                # Another socket under the same connection: what a NAT does to a client that was silent for long.
                before = connection._transport
                await asyncio.get_running_loop().create_datagram_endpoint(lambda: connection, local_addr=("::", 0))
                before.abort()
            reader, writer = await connection.create_stream()
            writer.write(b"GET /\r\n")
            writer.write_eof()
            if await reader.read() != PAGE:
                return print("cut")
        print("answered")


asyncio.run({"talk": talking, "serve": serving, "ask": asking}[sys.argv[1]](*sys.argv[2:]))
