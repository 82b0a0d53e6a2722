"""The tracker machine: seats, offers, answers, and what a stranger must not have."""

import json

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from signaling.tracker import INTERVAL_S, Bounds, Close, Output, Peer, Share, Tell, Tracker

HASH = "h" * 20
SDP = "v=0\r\n"


def _tracker(bounds: Bounds | None = None, instance: bytes = b"1") -> Tracker:
    return Tracker(bounds or Bounds(), lambda n: 0, instance)


def _announce(
    peer_id: str, *offers: str, info_hash: str = HASH, left: int | None = 1, event: str = ""
) -> str:
    return json.dumps(
        {
            "action": "announce",
            "info_hash": info_hash,
            "peer_id": peer_id * 20,
            "left": left,
            "event": event,
            "numwant": len(offers),
            "offers": [{"offer_id": o * 20, "offer": {"sdp": SDP}} for o in offers],
        }
    )


def _answer(peer_id: str, to: str, offer: str) -> str:
    return json.dumps(
        {
            "action": "announce",
            "info_hash": HASH,
            "peer_id": peer_id * 20,
            "to_peer_id": to * 20,
            "offer_id": offer * 20,
            "answer": {"sdp": SDP},
        }
    )


def _told(outputs: list[Output], peer: Peer) -> list[dict[str, object]]:
    return [output.fields for output in outputs if isinstance(output, Tell) and output.peer is peer]


def _shared(outputs: list[Output]) -> list[bytes]:
    return [output.message for output in outputs if isinstance(output, Share)]


def test_each_offer_goes_to_one_other_peer_and_its_answer_back() -> None:
    tracker, ann, bob, cat = _tracker(), Peer("a"), Peer("b"), Peer("c")
    tracker.receive(bob, _announce("B"), 0)
    tracker.receive(cat, _announce("C"), 0)
    outputs = tracker.receive(ann, _announce("A", "1", "2", "3"), 0)
    (counted,) = _told(outputs, ann)
    assert (counted["interval"], counted["complete"], counted["incomplete"]) == (INTERVAL_S, 0, 3)
    offers = [*_told(outputs, bob), *_told(outputs, cat)]
    assert sorted(str(offer["offer_id"])[0] for offer in offers) == ["1", "2"]
    assert all(offer["peer_id"] == "A" * 20 for offer in offers)
    (answer,) = _told(tracker.receive(bob, _answer("B", "A", "1"), 1), ann)
    assert answer["peer_id"] == "B" * 20
    assert answer["answer"] == {"type": "answer", "sdp": SDP}


def test_two_that_are_complete_get_nothing_of_each_other() -> None:
    tracker, ann, bob = _tracker(), Peer("a"), Peer("b")
    tracker.receive(bob, _announce("B", left=0), 0)
    outputs = tracker.receive(ann, _announce("A", "1", left=0), 0)
    assert _told(outputs, bob) == []
    assert _told(outputs, ann)[0]["complete"] == 2
    tracker.receive(ann, _announce("A", event="completed", left=None), 0)
    outputs = tracker.receive(bob, _announce("B", "1", left=5), 0)
    assert len(_told(outputs, ann)) == 1


def test_a_peer_id_belongs_to_its_source_as_long_as_it_is_there() -> None:
    tracker, ann, eve, again = _tracker(), Peer("a"), Peer("e"), Peer("a")
    tracker.receive(ann, _announce("A"), 0)
    assert "failure reason" in _told(tracker.receive(eve, _announce("A"), 1), eve)[0]
    # Nor may a stranger answer in its name.
    assert "failure reason" in _told(tracker.receive(eve, _answer("A", "B", "1"), 1), eve)[0]
    assert "failure reason" not in _told(tracker.receive(again, _announce("A"), 1), again)[0]
    assert not ann.seats
    tracker.leave(again)
    assert "failure reason" not in _told(tracker.receive(eve, _announce("A"), 2), eve)[0]


def test_who_stops_leaves_or_falls_silent_is_counted_no_more() -> None:
    tracker, ann, bob = _tracker(), Peer("a"), Peer("b")
    tracker.receive(ann, _announce("A"), 0)
    tracker.receive(bob, _announce("B"), 0)
    (counted,) = _told(tracker.receive(ann, _announce("A", event="stopped"), 0), ann)
    assert counted["incomplete"] == 1
    tracker.receive(ann, _announce("A"), 100)
    tracker.handle_timer(350)
    assert tracker.seats == 1
    assert not bob.seats
    tracker.leave(ann)
    assert tracker.seats == tracker.swarms == 0
    assert tracker.next_timer() is None


def test_a_scrape_counts() -> None:
    tracker, ann = _tracker(), Peer("a")
    tracker.receive(ann, _announce("A", left=0), 0)
    scrape = json.dumps({"action": "scrape", "info_hash": [HASH, "x" * 20]})
    (told,) = _told(tracker.receive(ann, scrape, 0), ann)
    assert told["files"] == {
        HASH: {"complete": 1, "incomplete": 0, "downloaded": 1},
        "x" * 20: {"complete": 0, "incomplete": 0, "downloaded": 0},
    }


def test_swarms_seats_and_messages_are_bounded() -> None:
    ann, bob = Peer("a"), Peer("b")
    tracker = _tracker(Bounds(swarms_each=2, seats=3, messages_burst=10, messages_per_s=1))
    for name in "xyz":
        last = tracker.receive(ann, _announce("A", info_hash=name * 20), 0)
    assert "too many" in str(_told(last, ann)[0]["failure reason"])
    tracker.receive(bob, _announce("B", info_hash="x" * 20), 0)
    last = tracker.receive(bob, _announce("B", info_hash="y" * 20), 0)
    assert "full" in str(_told(last, bob)[0]["failure reason"])
    for _ in range(30):
        last = tracker.receive(ann, "garbage", 0)
    assert last == [Close(ann, 4429)]
    assert tracker.malformed > 5


def test_two_instances_are_one_tracker() -> None:
    one, two = _tracker(instance=b"1"), _tracker(instance=b"2")
    ann, bob, eve = Peer("a"), Peer("b"), Peer("e")
    for message in _shared(one.receive(ann, _announce("A"), 0)):
        assert one.hear(message, 0) == []
        two.hear(message, 0)
    outputs = two.receive(bob, _announce("B", "1"), 0)
    assert _told(outputs, bob)[0]["incomplete"] == 2
    heard = [told for message in _shared(outputs) for told in one.hear(message, 0)]
    (offer,) = _told(heard, ann)
    assert offer["peer_id"] == "B" * 20
    answer = one.receive(ann, _answer("A", "B", "1"), 0)
    (told,) = [told for message in _shared(answer) for told in two.hear(message, 0)]
    assert isinstance(told, Tell)
    assert told.peer is bob
    # A seat elsewhere is nobody else's either.
    assert "failure reason" in _told(two.receive(eve, _announce("A"), 0), eve)[0]
    for message in _shared(one.leave(ann)):
        two.hear(message, 0)
    assert two.seats == 1
    assert two.hear(b"garbage", 0) == []


class Crowd(RuleBasedStateMachine):
    """Anybody announces anything; what is counted is what there is."""

    def __init__(self) -> None:
        super().__init__()
        self.tracker = Tracker(Bounds(swarms_each=3, seats=6), lambda n: n - 1, b"1")
        self.peers = [Peer("a"), Peer("b"), Peer("b")]
        self.now = 0.0

    @rule(
        which=st.integers(0, 2),
        peer_id=st.sampled_from("ABCD"),
        info_hash=st.sampled_from("xyz"),
        left=st.sampled_from([0, 1, None]),
        event=st.sampled_from(["", "started", "stopped", "completed"]),
    )
    def announce(
        self, which: int, peer_id: str, info_hash: str, left: int | None, event: str
    ) -> None:
        message = _announce(peer_id, "1", "2", info_hash=info_hash * 20, left=left, event=event)
        for output in self.tracker.receive(self.peers[which], message, self.now):
            if isinstance(output, Tell) and "offer" in output.fields:
                assert output.fields["peer_id"] == peer_id * 20

    @rule(which=st.integers(0, 2))
    def leave(self, which: int) -> None:
        self.tracker.leave(self.peers[which])
        assert not self.peers[which].seats

    @rule(seconds=st.integers(1, 400))
    def wait(self, seconds: int) -> None:
        self.now += seconds
        self.tracker.handle_timer(self.now)

    @invariant()
    def seats_agree(self) -> None:
        seated = {
            (info_hash, peer_id): seat
            for info_hash, swarm in self.tracker._swarms.items()
            for peer_id, seat in swarm.seats.items()
        }
        assert len(seated) == self.tracker.seats <= 6
        assert {key for peer in self.peers for key in peer.seats} == set(seated)
        assert all(key in seat.peer.seats for key, seat in seated.items() if seat.peer)
        for swarm in self.tracker._swarms.values():
            assert sorted(swarm.order) == sorted(swarm.seats)
            assert swarm.complete == sum(seat.complete for seat in swarm.seats.values())
            assert all(swarm.order[place] == peer for peer, place in swarm.places.items())


TestCrowd = Crowd.TestCase
