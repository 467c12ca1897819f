"""`edgelfm.connect()` as people use it: with and without an address, with whatever else there is for a model."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgelfm
from edgelfm.backends.remote import discovery
from edgelfm.errors import (
    BackendMissing,
    ChatFileError,
    RequestError,
    ServerBusy,
    ServerError,
    ServerRefused,
    ServerTimeout,
    ServerUnreachable,
    UnknownModel,
)
from tests.backends.remote.ollama import TAGS, ollama
from tests.fault_server import FaultServer, Handler, fault_server, replies, says

pytest.importorskip("openai", reason="to run: pip install 'edgelfm[remote]'")


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """As if no other program on this machine served models."""
    monkeypatch.setattr(discovery, "USUAL_PORTS", ())
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    return monkeypatch


@pytest.fixture
def local(alone: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    """An Ollama where it is usually found."""
    with ollama() as server:
        alone.setenv("OLLAMA_HOST", server.url)
        yield server


class TestFinding:
    def test_a_liquid_model_of_the_local_ollama_is_taken(self, local: FaultServer) -> None:
        with edgelfm.connect() as lfm:
            assert lfm.served.id == "lfm2.5:1.2b"
            assert lfm.context == 8192
            assert lfm.entry.id == "lfm2.5-1.2b-instruct"
            assert lfm.chat("Hello") == "Hello"
        assert local.asked[0]["model"] == "lfm2.5:1.2b"

    def test_a_model_is_found_by_a_part_of_its_name(self, local: FaultServer) -> None:
        with edgelfm.connect(model="llama3.2") as lfm:
            assert lfm.served.id == "llama3.2:latest"
            assert (lfm.context, lfm.served.context_from) == (4096, "num_ctx of this model")

    def test_a_model_that_is_not_there_is_told_with_those_that_are(self, local: FaultServer) -> None:
        with pytest.raises(UnknownModel, match=r"lfm2\.5:1\.2b.*llama3\.2") as caught:
            edgelfm.connect(model="gemma")
        assert caught.value.hint == "ollama pull gemma"

    def test_without_a_liquid_model_somebody_has_to_choose(self, alone: pytest.MonkeyPatch) -> None:
        with ollama(tags=TAGS[1:]) as server:
            alone.setenv("OLLAMA_HOST", server.url)
            with pytest.raises(UnknownModel, match="no server on this machine has a Liquid model") as caught:
                edgelfm.connect()
            assert caught.value.hint == f'edgelfm.connect("{server.url}", model="llama3.2:latest")'

    def test_an_ollama_without_models_says_how_to_get_one(self, alone: pytest.MonkeyPatch) -> None:
        with ollama(tags=[]) as server:
            alone.setenv("OLLAMA_HOST", server.url)
            with pytest.raises(UnknownModel) as caught:
                edgelfm.connect()
            assert caught.value.hint.startswith("ollama pull")

    def test_where_nothing_is_found_it_says_where_it_looked(self, alone: pytest.MonkeyPatch) -> None:
        with pytest.raises(ServerUnreachable, match=r"127\.0\.0\.1:9") as caught:
            edgelfm.connect()
        assert "ollama serve" in caught.value.hint

    def test_servers_are_listed_with_their_models(self, local: FaultServer) -> None:
        (found,) = edgelfm.servers(timeout=20)
        assert [one.context for one in found.models] == [8192, 4096, 512]

    def test_no_servers_are_an_empty_list(self, alone: pytest.MonkeyPatch) -> None:
        assert edgelfm.servers() == ()


class TestAddress:
    def test_the_only_model_needs_no_name(self) -> None:
        with fault_server() as server, edgelfm.connect(server.url.removeprefix("http://") + "/v1/") as lfm:
            assert lfm.served.id == "tiny"

    def test_a_model_that_is_listed_twice_is_one(self) -> None:
        with fault_server(models=[{"id": "a"}, {"id": "a"}]) as server, edgelfm.connect(server.url) as lfm:
            assert lfm.served.id == "a"

    def test_of_several_one_has_to_be_named(self) -> None:
        with fault_server(models=[{"id": "a"}, {"id": "b"}]) as server:
            with pytest.raises(RequestError, match="several models") as caught:
                edgelfm.connect(server.url)
            assert 'model="a"' in caught.value.hint
            with edgelfm.connect(server.url, "b") as lfm:
                assert lfm.served.id == "b"

    def test_a_server_that_lists_none_is_believed_to_have_what_is_named(self) -> None:
        with fault_server() as server:
            server.pages["/v1/models"] = (404, {"error": "no list"})
            with edgelfm.connect(server.url, "mine") as lfm:
                assert lfm.chat("Hello") == "Hello"
            with pytest.raises(UnknownModel):
                edgelfm.connect(server.url)

    @pytest.mark.parametrize(
        ("page", "error", "said"),
        [
            ((401, {"error": {"message": "Who are you?"}}), ServerRefused, "Who are you"),
            ((200, "<html>My holidays</html>"), ServerError, "not as a server with the OpenAI protocol: My holidays"),
            ((500, "trouble"), ServerError, "500"),
            ((302, {}), ServerError, "sends us to"),
        ],
    )
    def test_what_is_wrong_is_said_when_connecting(
        self, page: tuple[int, object], error: type[Exception], said: str
    ) -> None:
        with fault_server() as server:
            server.pages["/v1/models"] = page
            with pytest.raises(error, match=said):
                edgelfm.connect(server.url)

    def test_a_server_that_is_loading_its_model_is_waited_for(self) -> None:
        def loading(handler: Handler) -> None:
            handler.fault.gets = None
            handler.say(503, {"error": {"message": "Loading model"}}, {"Retry-After": "0.01"})

        with fault_server() as server:
            server.gets = loading
            with edgelfm.connect(server.url) as lfm:
                assert lfm.chat("Hello") == "Hello"
            server.gets = loading
            with pytest.raises(ServerBusy, match="Loading model"):
                edgelfm.connect(server.url, retries=0)

    def test_nobody_there(self) -> None:
        with pytest.raises(ServerUnreachable, match="refused"):
            edgelfm.connect("127.0.0.1:9")

    def test_no_such_host(self) -> None:
        with pytest.raises(ServerUnreachable, match=r"no host 'nowhere\.invalid'"):
            edgelfm.connect("https://nowhere.invalid")

    def test_a_server_that_speaks_no_tls(self) -> None:
        with fault_server() as server, pytest.raises(ServerUnreachable, match=r"no safe connection|closed") as caught:
            edgelfm.connect(server.url.replace("http:", "https:"))
        assert caught.value.hint

    def test_one_that_says_nothing(self) -> None:
        import socket

        with (
            socket.create_server(("127.0.0.1", 0)) as silent,
            pytest.raises(ServerTimeout, match="does not answer"),
        ):
            edgelfm.connect(f"127.0.0.1:{silent.getsockname()[1]}", connect_seconds=0.1)

    @pytest.mark.parametrize(
        "given",
        [
            {"key": "a\nb"}, {"key": ""}, {"context": 0}, {"retries": -1}, {"connect_seconds": 0},
            {"first_token_seconds": "long"}, {"model": " "}, {"headers": ["X"]}, {"headers": {"X Y": "a"}},
            {"headers": {"X": "grün"}}, {"headers": {"X": 3}},
        ],
    )  # fmt: skip
    def test_what_makes_no_sense_is_refused(self, given: dict[str, object]) -> None:
        with fault_server() as server, pytest.raises(RequestError):
            edgelfm.connect(server.url, **given)  # type: ignore[arg-type]

    def test_a_key_is_never_sent_to_whatever_is_found(self, alone: pytest.MonkeyPatch) -> None:
        with pytest.raises(RequestError, match="none was named"):
            edgelfm.connect(key="sk-mine")

    def test_without_the_client_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from edgelfm.backends.remote.library import library

        monkeypatch.setitem(__import__("sys").modules, "openai", None)
        library.cache_clear()
        try:
            with pytest.raises(BackendMissing) as caught:
                edgelfm.connect("127.0.0.1:9")
        finally:
            library.cache_clear()
        assert caught.value.hint == "pip install 'edgelfm[remote]'"


@pytest.fixture
def lfm() -> Iterator[edgelfm.Model]:
    with fault_server(replies("Hel", "lo")) as server, edgelfm.connect(server.url) as model:
        yield model


class TestSameModel:
    def test_what_only_a_runtime_here_can_do_says_so(self, lfm: edgelfm.Model) -> None:
        for ask in (
            lambda: lfm.memory(), lambda: lfm.count_tokens("a"), lambda: lfm.prime("a"), lambda: lfm.tune(),
            lambda: lfm.use_adapter(None),
            lambda: lfm.bench(), lambda: lfm.monitor(), lambda: lfm.plan, lambda: lfm.host,
            lambda: lfm.conversation().save("x.json", state=True),
        ):  # fmt: skip
            with pytest.raises(RequestError) as caught:
                ask()
            assert caught.value.hint

    def test_async_twins(self, lfm: edgelfm.Model) -> None:
        async def main() -> None:
            assert await lfm.aio.chat("Hi") == "Hello"
            assert [text async for text in lfm.aio.stream("Hi")] == ["Hel", "lo"]
            talk = lfm.aio.conversation()
            assert await talk.send("Hi") == "Hello"
            assert await asyncio.gather(*(lfm.aio.chat("Hi") for _ in range(8))) == ["Hello"] * 8

        asyncio.run(main())

    def test_a_cancelled_task_hangs_up(self) -> None:
        def play(handler) -> None:  # type: ignore[no-untyped-def]
            handler.hang()

        async def main(lfm: edgelfm.Model, server: FaultServer) -> None:
            task = asyncio.create_task(lfm.aio.chat("Hi"))
            await asyncio.to_thread(server.hanging.wait, 60)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        with fault_server(play) as server, edgelfm.connect(server.url) as lfm:
            asyncio.run(main(lfm, server))
            assert server.gone.wait(20)

    def test_a_conversation_is_saved_and_taken_up_with_the_server_named_again(self, tmp_path: Path) -> None:
        path = tmp_path / "talk.json"
        with fault_server() as server, edgelfm.connect(server.url) as lfm:
            talk = lfm.conversation(system="Be brief.")
            talk.send("Hi")
            talk.save(path)
            again = edgelfm.resume(path, lfm)
            assert [(one.role, one.content) for one in again.messages] == [
                ("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello"),
            ]  # fmt: skip
            assert again.send("And?") == "Hello"
            # A file may be from anybody; what it names is not called by itself.
            with pytest.raises(ChatFileError, match="of the server at") as caught:
                edgelfm.resume(path)
            assert caught.value.hint == f'edgelfm.resume("{path}", edgelfm.connect("{server.url}", model="tiny"))'

    def test_what_was_said_to_a_server_goes_on_here(self, tmp_path: Path, lfm: edgelfm.Model) -> None:
        path = tmp_path / "talk.json"
        talk = lfm.conversation()
        talk.send("Hi")
        talk.save(path)
        with edgelfm.load("starter", context=512, tune=False, progress=False) as here:
            assert edgelfm.resume(path, here).send("Bye", max_tokens=2).usage.completion_tokens == 2

    def test_pictures_do_not_go_to_a_model_that_reads_text(self, tmp_path: Path, lfm: edgelfm.Model) -> None:
        talk = lfm.conversation()
        talk.send([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}])
        talk.save(tmp_path / "talk.json")
        with edgelfm.load("starter", context=512, tune=False, progress=False) as here:
            with pytest.raises(RequestError, match="more than text"):
                edgelfm.resume(tmp_path / "talk.json", here).send("And?")
            with pytest.raises(RequestError, match="message is text"):
                here.conversation().send([{"type": "text", "text": "Hi"}])

    def test_its_replies_can_be_recorded(self, tmp_path: Path, lfm: edgelfm.Model) -> None:
        with edgelfm.record(lfm, tmp_path / "trace.jsonl") as trace:
            lfm.chat("Hi")
        assert (trace.about.backend, trace.about.held) == ("remote", ())
        assert trace.summary().tokens == 2

    def test_the_playground_talks_to_it(self, lfm: edgelfm.Model) -> None:
        pytest.importorskip("anywidget", reason="to run: pip install 'edgelfm[notebook]'")
        playground = edgelfm.playground(lfm)
        playground.send("Hi")
        assert playground.wait(60)
        assert playground.conversation.messages[-1].content == "Hello"
        assert "served by" in playground.why.value
        playground.close()

    def test_it_can_be_compared_with_another(self, lfm: edgelfm.Model) -> None:
        pytest.importorskip("anywidget", reason="to run: pip install 'edgelfm[notebook]'")
        with fault_server(says(401, {"error": "no"})) as server, edgelfm.connect(server.url) as refused:
            both = edgelfm.compare([lfm, refused])
            both.ask("Hi")
            assert both.wait(60)
            assert both.replies == ("Hello", None)
            assert "<b>tiny as served, remote</b>" in both._repr_mimebundle_()["text/html"]
            both.close()
            both._worker.join(30)


class TestCommandLine:
    def test_one_answer(self, capsys: pytest.CaptureFixture[str]) -> None:
        from edgelfm.cli import main

        with fault_server() as server:
            status = main(
                ["chat", "tiny", "--url", server.url, "--key", "sk-mine", "--once", "Hi", "--temperature", "0"]
            )
            assert status == 0
            assert capsys.readouterr().out == "Hello\n"
            assert server.asked[0]["temperature"] == 0
            assert server.requests[0].headers["authorization"] == "Bearer sk-mine"

    def test_a_context_is_taken_and_what_only_a_runtime_here_can_do_is_refused(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from edgelfm.cli import main

        with fault_server() as server:
            once = ["chat", "--url", server.url, "--once", "Hi"]
            assert main([*once, "--context", "2048", "--json"]) == 0
            assert '"context": 2048' in capsys.readouterr().out
            for wish in (["--quantization", "Q8_0"], ["--memory", "1 GiB"], ["--offline"], ["--adapter", "x"]):
                assert main([*once, *wish]) == 1
                assert f"{wish[0]} is for a model that runs here" in capsys.readouterr().err

    def test_what_the_server_decides_is_not_shown_as_set(
        self, lfm: edgelfm.Model, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from edgelfm.cli import commands
        from edgelfm.cli.talk import Talk

        talk = Talk(lfm, None, {})
        commands.run(talk, "/set top_p 0.5")
        shown = " ".join(capsys.readouterr().out.split())
        assert "temperature not set top_k not set top_p 0.5" in shown

    def test_an_error_is_two_lines(self, capsys: pytest.CaptureFixture[str]) -> None:
        from edgelfm.cli import main

        with fault_server(says(401, {"error": "no"})) as server:
            assert main(["chat", "--url", server.url, "--once", "Hi"]) == 1
        said = capsys.readouterr().err
        assert "error: " in said
        assert "hint: " in said

    def test_a_key_without_a_server(self, capsys: pytest.CaptureFixture[str]) -> None:
        from edgelfm.cli import main

        assert main(["chat", "--key", "sk-mine", "--once", "Hi"]) == 1
        assert "--url" in capsys.readouterr().err
