"""What an error at the lock limit advises, from recorded facts of the places where processes run."""

import pytest

from strongroom._os import limits
from strongroom._os.remedies import Surroundings, advise, place_of

LIMIT = 65_536
SESSION = "0::/user.slice/user-1000.slice/session-2.scope\n"
TERMINAL = (
    "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.gnome.Terminal.slice/vte-spawn-3f.scope\n"
)
SERVICE = "0::/system.slice/payments.service\n"
DELEGATED = "0::/system.slice/payments.service/workers\n"
USER_SERVICE = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/agent.service\n"
SERVICE_V1 = (
    "12:pids:/system.slice/payments.service\n1:name=systemd:/system.slice/payments.service\n"
    "0::/system.slice/payments.service\n"
)
DOCKER_V1 = "12:memory:/docker/8c1f2d\n1:name=systemd:/docker/8c1f2d\n"
DOCKER_HOST = "0::/system.slice/docker-8c1f2d.scope\n"
DOCKERD = "0::/system.slice/docker.service\n"
PODMAN = "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-77aa.scope/container\n"
POD = "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod5e.slice/cri-containerd-1f.scope\n"
OWN_NAMESPACE = "0::/\n"


def linux(
    cgroup: str = SESSION,
    variables: tuple[str, ...] = (),
    files: tuple[str, ...] = (),
    soft: int | None = LIMIT,
    hard: int | None = LIMIT,
) -> Surroundings:
    """Facts of a Linux process."""
    return Surroundings("linux", soft, hard, frozenset(variables), cgroup, frozenset(files))


PLACES = {
    "a login": (linux(), "shell"),
    "a desktop's terminal": (linux(TERMINAL, ("INVOCATION_ID",)), "shell"),
    "a service": (linux(SERVICE, ("INVOCATION_ID",)), "systemd"),
    "a service, environment cleared": (linux(SERVICE), "systemd"),
    "a service with groups of its own": (linux(DELEGATED), "systemd"),
    "a service, cgroup v1": (linux(SERVICE_V1, ("INVOCATION_ID",)), "systemd"),
    "a user's service": (linux(USER_SERVICE, ("INVOCATION_ID",)), "systemd"),
    "a service that sees no cgroup": (linux("", ("INVOCATION_ID",)), "systemd"),
    "docker": (linux(OWN_NAMESPACE, (), ("/.dockerenv",)), "docker"),
    "docker, cgroup v1": (linux(DOCKER_V1), "docker"),
    "docker, the host's cgroup names": (linux(DOCKER_HOST), "docker"),
    "the docker daemon itself": (linux(DOCKERD, ("INVOCATION_ID",)), "systemd"),
    "podman": (linux(OWN_NAMESPACE, (), ("/run/.containerenv",)), "podman"),
    "podman, the host's cgroup names": (linux(PODMAN), "podman"),
    "a pod": (linux(OWN_NAMESPACE, ("KUBERNETES_SERVICE_HOST",)), "kubernetes"),
    "a pod without service links": (linux(POD), "kubernetes"),
    "a pod on docker": (linux(DOCKER_V1, ("KUBERNETES_SERVICE_HOST",), ("/.dockerenv",)), "kubernetes"),
    "nothing known": (linux(""), "shell"),
    "odd text": (linux("0\n:::\n0::\n"), "shell"),
}


@pytest.mark.parametrize("name", PLACES)
def test_the_place_is_told_by_what_lies_about(name: str) -> None:
    """Variables, files and the control group's name; the innermost place counts."""
    facts, place = PLACES[name]
    assert place_of(facts) == place


#: How the remedy for each place begins, and what it must say to be of use there.
SPECIFIC = {
    "shell": (linux(), "'ulimit -l KIBIBYTES' in the shell", "limits.conf"),
    "systemd": (
        linux(SERVICE),
        "This looks like the systemd unit payments.service: set LimitMEMLOCK=",
        "edit payments",
    ),
    "user unit": (linux(USER_SERVICE), "This looks like the systemd unit agent.service", "systemctl --user edit agent"),
    "unnamed unit": (linux("", ("INVOCATION_ID",)), "This looks like a systemd unit: set", "systemctl edit NAME"),
    "docker": (linux(files=("/.dockerenv",)), "This looks like a Docker container", "docker run --ulimit memlock="),
    "podman": (linux(files=("/run/.containerenv",)), "This looks like a Podman", "podman run --ulimit memlock="),
    "kubernetes": (linux(POD), "This looks like a Kubernetes pod, which has no field for it", "IPC_LOCK"),
}


@pytest.mark.parametrize("name", SPECIFIC)
def test_the_remedy_for_the_place_comes_first_and_the_others_after(name: str) -> None:
    """Whoever reads only the first sentence reads the right one, and a wrong guess hides nothing."""
    facts, beginning, word = SPECIFIC[name]
    text = advise(facts)
    assert text.startswith(beginning)
    specific, _, general = text.partition("Destroy buffers")
    assert word in specific
    assert "Secret" in general
    for other in ("ulimit -l", "LimitMEMLOCK", "docker run --ulimit memlock=", "Kubernetes"):
        assert other in text


@pytest.mark.parametrize("platform", ["linux", "darwin", "freebsd", "netbsd", "openbsd"])
@pytest.mark.parametrize(("hard", "top"), [(8 << 20, "to 8,388,608 bytes"), (None, "to any size")])
def test_a_limit_that_the_process_may_raise_itself_is_said_first(platform: str, hard: int | None, top: str) -> None:
    """Nobody needs to be asked for that, and the call is named."""
    text = advise(Surroundings(platform, LIMIT, hard, cgroup=SERVICE))
    assert text.startswith("This process may raise its own limit from 65,536 bytes ")
    assert f"{top}: strongroom.configure(raise_lock_limit=True)." in text


@pytest.mark.parametrize(("soft", "hard"), [(LIMIT, LIMIT), (None, None)])
def test_otherwise_that_call_is_not_named(soft: int | None, hard: int | None) -> None:
    """It would change nothing."""
    assert "configure" not in advise(linux(soft=soft, hard=hard))


@pytest.mark.parametrize(
    ("platform", "word"),
    [("darwin", "launchd"), ("freebsd", "login.conf"), ("netbsd", "login.conf"), ("openbsd", "login.conf")],
)
def test_other_unixes_have_their_own_files(platform: str, word: str) -> None:
    """The shell's word, the system's own place for the limit, and no word of Linux's."""
    text = advise(Surroundings(platform, LIMIT, LIMIT))
    for expected in ("ulimit -l", word, "Secret"):
        assert expected in text
    for foreign in ("systemd", "docker", "Kubernetes"):
        assert foreign not in text


def test_windows_remedies() -> None:
    """There it is the minimum working set, and no Unix word helps."""
    text = advise(Surroundings("windows", None, None))
    for word in ("SetProcessWorkingSetSize", "vm.set_working_set", "configure(raise_lock_limit=True)", "Secret"):
        assert word in text
    assert "ulimit" not in text


def test_looking_around_is_never_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process without /proc still gets its advice."""

    def refuse(*_arguments: object, **_options: object) -> None:
        raise PermissionError("no")

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr("os.path.exists", lambda _path: False)
    assert "Secret" in limits.remedies()
