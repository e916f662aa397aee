#!/usr/bin/env python3
"""Prints the images that Stowage's nodes pull and lose, from JetStream. Needs nats-py (pip install nats-py)."""

import argparse
import asyncio
import json
import signal
import sys
from collections import OrderedDict

import nats
from nats.errors import TimeoutError as NoMessages
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import NotFoundError, ServiceUnavailableError

STREAM = "STOWAGE_EVENTS"
SUBJECT = "stowage.event.*.image.*"
TYPES = "io.stowage.node.v1."
ACK_WAIT_SECONDS = 30
REMEMBERED = 10_000


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def describe(event: dict) -> str | None:
    """One line for an event; None for a type that this program does not know."""
    data = event["data"]
    node = event["source"].split("/")[2]
    match event["type"].removeprefix(TYPES):
        case "ImagePulled":
            return f"{event['time']} {node} pulled {data['reference']}"
        case "ImageRemoved":
            return f"{event['time']} {node} removed {data['imageId']}: {data['reason']}"
    return None


async def handle(message, seen: OrderedDict) -> None:
    try:
        event = json.loads(message.data)
        # Delivery is at least once. Keep the ids in a database where handling twice does harm.
        if event["id"] not in seen:
            line = describe(event)
            if line is not None:
                print(line, flush=True)
            seen[event["id"]] = True
            if len(seen) > REMEMBERED:
                seen.popitem(last=False)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        # Not an event of this version: it would not be better the next time.
        note(f"left out one message on {message.subject}: {error!r}")
        await message.term()
        return
    await message.ack()


async def read(connection, durable: str, stop: asyncio.Event) -> None:
    """Reads from where this durable name was, until told to stop. Waits for the stream and its consumer."""
    seen: OrderedDict = OrderedDict()
    stream = connection.jetstream()
    wanted = ConsumerConfig(
        durable_name=durable,
        filter_subject=SUBJECT,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT_SECONDS,
    )
    while not stop.is_set():
        try:
            await stream.add_consumer(STREAM, wanted)
            inbox = await stream.pull_subscribe_bind(durable, STREAM)
            while not stop.is_set():
                try:
                    for message in await inbox.fetch(batch=64, timeout=2):
                        await handle(message, seen)
                except NoMessages:
                    continue
        except (NotFoundError, ServiceUnavailableError, nats.errors.Error, OSError) as error:
            note(f"waiting for the stream {STREAM}: {error!r}")
            try:
                await asyncio.wait_for(stop.wait(), timeout=1)
            except asyncio.TimeoutError:
                pass


async def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--nats", default="nats://127.0.0.1:4222", help="server, with the login")
    arguments.add_argument("--durable", required=True, help="name under which JetStream remembers how far was read")
    options = arguments.parse_args()

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    async def problem(error: Exception) -> None:
        note(f"nats: {error!r}")

    connection = await nats.connect(options.nats, max_reconnect_attempts=-1, error_cb=problem)
    try:
        await read(connection, options.durable, stop)
    finally:
        await connection.close()


if __name__ == "__main__":
    asyncio.run(main())
