"""Shows the tallies of polls in a terminal, through deploys and lost connections. Needs Python 3.11 and the package `websockets`.

    python3 client.py "wss://vote.example.org/ws?poll=cats-or-dogs"
"""
import asyncio, json, random, sys, time, urllib.parse
import websockets

URL = sys.argv[1]
shown = {}  # the newest (epoch, version) of each poll


def show(frame):
    """Prints a tally, unless it is older than what was shown, and the end of a poll."""
    if frame["type"] == "gone":
        print("gone", frame["poll"], flush=True)
    if frame["type"] == "tally" and (frame["epoch"], frame["version"]) > shown.get(frame["poll"], (-1, -1)):
        shown[frame["poll"]] = (frame["epoch"], frame["version"])
        print("tally", frame["poll"], frame["epoch"], frame["version"], frame["total"], flush=True)


async def read(feed, old, tasks):
    """Shows what the feed says until it is closed. Leaves the old feed at its first tally. Says whether another one takes over."""
    is_replaced = False
    while True:
        try:
            frame = json.loads(await asyncio.wait_for(feed.recv(), 35))  # a server says something every 15 s
        except asyncio.TimeoutError:
            return is_replaced, 1006
        except websockets.ConnectionClosed as end:
            return is_replaced, end.rcvd.code if end.rcvd else 1006
        show(frame)
        if old and frame["type"] in ("tally", "gone"):
            await old.close(1000)
            old = None
        if frame["type"] == "drain" and not is_replaced:  # the server leaves: another connection, while this one goes on
            is_replaced = True
            tasks.create_task(follow(tasks, old=feed, wait=random.uniform(0, min(frame["closeAfterMs"] / 4000, 2))))


async def follow(tasks, old=None, wait=0.0):
    """Connects until a server says that there is nothing to follow, or until another connection takes over."""
    tries = 0
    while True:
        await asyncio.sleep(wait)
        began, code, is_replaced = time.monotonic(), 1006, False
        try:
            subprotocols = ["livetally.v1.1", "livetally.v1"]
            async with websockets.connect(URL, subprotocols=subprotocols, ping_interval=None) as feed:
                is_replaced, code = await read(feed, old, tasks)
        except (OSError, asyncio.TimeoutError, websockets.WebSocketException):
            pass  # tried again below
        if is_replaced:
            return
        if 4400 <= code <= 4499:  # final
            for poll in urllib.parse.parse_qs(urllib.parse.urlsplit(URL).query)["poll"]:
                print("gone", poll, flush=True)
            return
        tries = 0 if time.monotonic() - began > 5 else tries + 1
        first, longest = (2, 30) if code == 1013 else (0.25, 10)  # seconds
        wait = random.uniform(0, min(longest, first * 2 ** max(0, tries - 1)))


async def main():
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(follow(tasks))


asyncio.run(main())
