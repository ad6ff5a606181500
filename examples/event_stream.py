"""A FastAPI app that streams a run's events to a browser as server-sent events. The model is simulated."""

import json
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from langgraph_maker import create_maker
from langgraph_maker.tasks import TowersOfHanoi

app = FastAPI()


@app.get("/runs/{disks}")
async def run(disks: int) -> StreamingResponse:
    """Solve a puzzle, and say how it goes."""
    graph = create_maker(TowersOfHanoi(min(disks, 8)), "sim:error=0.01").compile()

    async def events() -> AsyncIterator[str]:
        async for event in graph.astream({}, stream_mode="custom"):
            yield f"event: {event['event']}\ndata: {json.dumps(event)}\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


if __name__ == "__main__":  # uvicorn examples.event_stream:app serves it; here one request shows what comes
    import asyncio

    import httpx

    async def shown() -> None:
        """Print the last event of a run."""
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            received = (await client.get("/runs/3")).text.split("\n\n")[:-1]
        last = json.loads(received[-1].partition("data: ")[2])
        print(f"{len(received)} events; the last: {last['event']}, {last['status']}, {last['totals']['steps']} steps")

    asyncio.run(shown())
