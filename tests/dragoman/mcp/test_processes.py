"""Processes as they are in life: stdout, signals, killed clients, tokens, names."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.shared.exceptions import MCPError

from tests.dragoman.command import refused, refused_here
from tests.support.mcp_servers import TOKEN, Served, command, environment, over_http, serving, text_of

SEARCH = {"feature": "sae/3", "effort": 2000, "length": 12}
KILLED = """
import asyncio, os, sys
from tests.support import mcp_servers as servers

async def main():
    async def told(*step):
        print("searching", flush=True)
        await asyncio.sleep(0)
        os.kill(os.getpid(), 9)
    way = servers.over_http(sys.argv[2], token=servers.TOKEN) if sys.argv[1] == "http" else servers.over_stdio(sys.argv[2])
    async with way as client:
        await client.call_tool("search_inputs", {"feature": "sae/3", "effort": 2000, "length": 12}, progress_callback=told)

asyncio.run(main())
"""


def log_of(store: Path) -> str:
    return (store / "logs" / "mcp.jsonl").read_text("utf-8")


def waited(what: Any, seconds: float = 300) -> bool:
    """Whether something becomes true in time."""
    end = time.monotonic() + seconds
    while not what() and time.monotonic() < end:
        time.sleep(0.1)
    return bool(what())


@pytest.mark.slow
def test_stdout_holds_the_protocol_alone_and_rubbish_ends_nothing(hostile: Path) -> None:
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "0"}}
    lines = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "nothing/like/it"},
        {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "activate", "arguments": "no object"}},
        {
            "jsonrpc": "2.0",
            "id": 4,
            "method": "tools/call",
            "params": {"name": "feature_stats", "arguments": {"feature": "sae/3"}},
        },
    ]
    with subprocess.Popen(
        command(hostile), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        found = {}
        process.stdin.write("".join(json.dumps(line) + "\n" for line in lines[:2]) + "rubbish \x00 {\n[]\n")
        process.stdin.write("".join(json.dumps(line) + "\n" for line in lines[2:]))
        process.stdin.flush()
        while 4 not in found:
            reply = json.loads(process.stdout.readline())
            assert reply["jsonrpc"] == "2.0"
            found[reply.get("id")] = reply
        process.send_signal(signal.SIGINT)
        assert process.wait(300) == 0, "Ctrl-C ends it though stdin is open"
        rest = process.stdout.read()
        assert not rest.strip()
    assert found[1]["result"]["serverInfo"]["name"] == "dragoman"
    assert "error" in found[2] and "error" in found[3] and not found[4]["result"].get("isError")


@pytest.mark.slow
def test_a_server_on_stdio_ends_when_its_client_is_killed(hostile: Path) -> None:
    before = log_of(hostile).count("abandoned") if (hostile / "logs" / "mcp.jsonl").exists() else 0
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, "stdio", str(hostile)], env=environment(), capture_output=True, text=True, timeout=300
    )
    assert killed.returncode == -signal.SIGKILL and "searching" in killed.stdout, killed
    assert waited(lambda: not servers_of(hostile)), "the server has ended"
    assert log_of(hostile).count("abandoned") == before + 1, "and the search with it"


def servers_of(store: Path) -> list[int]:
    """Processes that serve a store on stdio."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
            except OSError:
                continue
            if "mcp" in words and str(store) in words and "--http" not in words:
                found.append(int(entry.name))
    return found


@pytest.mark.slow
def test_a_server_on_http_goes_on_when_a_client_is_killed(hostile: Path, server: Served) -> None:
    before = log_of(hostile).count("abandoned") if (hostile / "logs" / "mcp.jsonl").exists() else 0
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, "http", server.url], env=environment(), capture_output=True, text=True, timeout=300
    )
    assert killed.returncode == -signal.SIGKILL and "searching" in killed.stdout, killed
    assert waited(lambda: log_of(hostile).count("abandoned") == before + 1), "its search is given up"

    async def session() -> None:
        async with over_http(server.url, token=TOKEN) as client:
            assert not (await client.call_tool("activate", {"feature": "sae/3", "texts": ["a park"]})).is_error
            began = asyncio.Event()

            async def told(progress: float, total: float | None, message: str | None) -> None:
                began.set()

            waiting = asyncio.create_task(client.call_tool("search_inputs", SEARCH, progress_callback=told))
            await began.wait()
            queued = asyncio.create_task(client.call_tool("activate", {"feature": "sae/3", "texts": ["never run"]}))
            for task in (queued, waiting):
                for _ in range(2):  # there and back, so that what was sent before has come in
                    assert not (await client.call_tool("feature_stats", {"feature": "sae/3"})).is_error
                task.cancel()
            await asyncio.gather(waiting, queued, return_exceptions=True)
            assert not (await client.call_tool("activate", {"feature": "sae/3", "texts": ["a park"]})).is_error

    asyncio.run(session())
    assert waited(lambda: log_of(hostile).count("abandoned") == before + 2), "a cancelled search is given up"
    assert "never run" not in log_of(hostile), "a call that waited for its turn is not made"


@pytest.mark.slow
def test_only_the_token_opens_and_it_is_written_nowhere(hostile: Path, tmp_path: Path) -> None:
    with serving(hostile, DRAGOMAN_MCP_TOKEN=TOKEN) as served:
        ask = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        shape = {"Accept": "application/json, text/event-stream"}
        bad = [None, "", "Bearer", "Bearer wrong-wrong-wrong-wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}"]
        for given in bad:
            headers = shape | ({} if given is None else {"Authorization": given})
            for path in ("/mcp", "/", "/nowhere"):
                reply = httpx2.post(served.url.removesuffix("/mcp") + path, json=ask, headers=headers)
                assert reply.status_code == 401 and reply.headers["www-authenticate"] == "Bearer", (given, path, reply)
        twice = [*shape.items(), ("Authorization", "Bearer no"), ("Authorization", f"Bearer {TOKEN}")]
        assert httpx2.post(served.url, json=ask, headers=twice).status_code == 401

        good = shape | {"Authorization": f"Bearer {TOKEN}"}
        for header, value, status in [
            ("Host", "evil.example", 421),
            ("Host", "evil.example:80", 421),
            ("Origin", "http://evil.example", 403),
            ("Origin", "null", 403),
        ]:
            reply = httpx2.post(served.url, json=ask, headers=good | {header: value})
            assert reply.status_code == status, (header, value, reply)

        async def session() -> None:
            async with over_http(served.url, token=TOKEN, Origin="http://localhost:6274") as client:
                assert "sae" in text_of(await client.call_tool("feature_stats", {"feature": "sae/3"}))
            with pytest.raises(BaseException) as refusal:
                async with over_http(served.url, token="wrong-wrong-wrong-wrong"):
                    pass
            assert "401" in repr(refusal.value) or leaves(refusal.value), refusal.value

        asyncio.run(session())
        said = served.stop()
        assert served.process.returncode in (0, -signal.SIGTERM)
    assert "without the right token" in said and TOKEN not in said and TOKEN not in log_of(hostile)


def leaves(error: BaseException) -> list[BaseException]:
    """The errors of the protocol in a group."""
    inner = getattr(error, "exceptions", None)
    return [leaf for one in inner for leaf in leaves(one)] if inner else [error] if isinstance(error, MCPError) else []


def test_what_cannot_be_served_is_refused_in_a_sentence(synthetic_path: Path, tmp_path: Path, monkeypatch: Any) -> None:
    for name in [name for name in os.environ if name.startswith("DRAGOMAN_")]:
        monkeypatch.delenv(name)
    assert "no store" in refused_here("mcp", tmp_path / "nowhere") or "nowhere" in refused_here("mcp", tmp_path / "nowhere")
    for host in ("0.0.0.0", "::", "192.0.2.7", "lab.example"):
        assert "DRAGOMAN_MCP_TOKEN" in refused_here("mcp", synthetic_path, "--http", "--host", host)
    for token in ("short", "with blanks in the middle of it", "nicht-sehr-schön-nicht-sehr-schön"):
        monkeypatch.setenv("DRAGOMAN_MCP_TOKEN", token)
        said = refused_here("mcp", synthetic_path, "--http")
        assert "no good" in said and token not in said
    monkeypatch.setenv("DRAGOMAN_MCP_TOKEN", TOKEN)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = refused_here("mcp", synthetic_path, "--http", "--port", str(taken.getsockname()[1]))
        assert "Cannot listen on 127.0.0.1 port" in said and "in use" in said
    assert "Cannot listen" in refused_here("mcp", synthetic_path, "--http", "--host", "192.0.2.7")


def test_without_the_sdk_a_sentence_says_what_to_install(synthetic_path: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "mcp"
    blocked.mkdir()
    (blocked / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'mcp'\", name='mcp')")
    root = Path(__file__).parents[3]
    said = refused("mcp", synthetic_path, PYTHONPATH=os.pathsep.join([str(tmp_path), str(root)]))
    assert said.endswith("pip install 'dragoman[mcp]'")
