"""Every size, count and rate that a peer controls, with the reason for its bound."""

__all__ = [
    "ACT_SEEN_MAX",
    "AFTER_MAX",
    "AMENDMENTS_BY_ONE",
    "BODY_BYTES_MAX",
    "CHAINS_EACH_MAX",
    "CLOCK_PULL_MS",
    "CONTESTED_MAX",
    "CUTS_MAX",
    "DEVICES_EACH_MAX",
    "FIRST_CHAINS_MAX",
    "FORKS_EACH_MAX",
    "FRAME_BYTES_MAX",
    "GUESSES_MAX",
    "HANDSHAKE_BYTES_MAX",
    "HANDSHAKE_S",
    "HEADER_BYTES_MAX",
    "HEADS_MAX",
    "HEADS_TOLD",
    "INTRODUCTION_BYTES_MAX",
    "KNOCKS_EACH",
    "KNOCKS_MAX",
    "LACKING_BYTES",
    "LACKING_MAX",
    "LACKING_TRIES",
    "LIFETIME_S_MAX",
    "LIVE_BYTES_MAX",
    "MESH_LINKS",
    "NEAR_MAX",
    "OUTSTANDING_BYTES",
    "PARENTS_MAX",
    "PINS_MAX",
    "PINS_READ",
    "PLACE_BYTES_MAX",
    "PROOFS_MAX",
    "PROOF_TEXT_MAX",
    "REACTIONS_MAX",
    "REACTION_BYTES_MAX",
    "RECIPIENTS_MAX",
    "REQUESTS_MAX",
    "REQUESTS_READ",
    "RUN_BYTES",
    "RUN_ENTRIES_MAX",
    "RUN_FULL_BYTES_MAX",
    "SDP_BYTES_MAX",
    "SEEN_ROWS_MAX",
    "STRAYS_MAX",
    "TEXT_BYTES_MAX",
    "TIME_MAX_MS",
    "TIME_MIN_MS",
    "TOPIC_BYTES_MAX",
    "VISIBLE_ROOMS_MAX",
    "VOUCHES_MAX",
    "WANTS_MAX",
]

TEXT_BYTES_MAX = 65_536
"""UTF-8 bytes of one message; more goes as a file."""

BODY_BYTES_MAX = TEXT_BYTES_MAX + 128
"""A sealed body: the text, 16 of salt, 16 of tag, and up to 45 of MessagePack around it."""

REACTION_BYTES_MAX = 64
"""UTF-8 bytes of a reaction: a family of emoji with skin tones takes 41."""

REACTIONS_MAX = 64
"""Different reactions shown with a message, those of most people first."""

AMENDMENTS_BY_ONE = 64
"""Edits, reactions or pins of one person to one message: of more, the latest count."""

PINS_MAX = 100
"""Messages pinned in a room: of more, the ones pinned last."""

PINS_READ = 1_000
"""Newest pin entries of a room that decide which messages are pinned."""

LACKING_MAX = 64
"""Bodies asked for in one frame; and no more is asked of a peer in one go."""

LACKING_BYTES = 262_144
"""What one such frame may make us send."""

LACKING_TRIES = 3
"""Times that one person is asked for a body: it may have come there meanwhile, or been deleted."""

LIFETIME_S_MAX = 366 * 86_400
"""Of a disappearing message; what shall stay longer shall stay."""

HEADER_BYTES_MAX = 512
"""The widest header (four `after`, an epoch) takes 365."""

AFTER_MAX = 4
"""Causes named by one entry: enough to tie chains together, little enough to carry along."""

RUN_BYTES = 65_536
"""Headers and bodies of one run, missing ones too, unless its single entry is larger."""

RUN_FULL_BYTES_MAX = 126 * 1024
"""Headers and bodies of one run, with headers in full, and with bodies that are missing, since they
may come: an entry of the largest body fits, and the headers of two runs, which prove a fork, fit a
frame."""

RUN_ENTRIES_MAX = 1_024
"""Entries of one run; 150 bytes each at the least, so the size binds first."""

DEVICES_EACH_MAX = 16
"""Devices of one person that a key is sealed to, 60 us and 200 bytes each for every epoch."""

FRAME_BYTES_MAX = 262_144
"""One frame: a run of one entry of the largest body fits several times."""

LIVE_BYTES_MAX = 65_536
"""One frame on the channel `live`, where each goes as one message; larger ones go on `bulk`."""

HEADS_MAX = 4_096
"""Chains taken of one heads frame."""

HEADS_TOLD = 1_024
"""Chains told in one heads frame: 62 bytes each at the most, for `live`; more go in several."""

WANTS_MAX = 4_096
"""Wants that a peer may have waiting here; each costs a disk read."""

MESH_LINKS = 8
"""Links of a room that new entries are pushed on: enough to reach all, whatever fails of them."""

OUTSTANDING_BYTES = 2_097_152
"""Runs that a sender has on the way before their commit is acknowledged: a commit takes tens of
milliseconds, in which a fast link carries several times 256 KiB, and a larger one costs less for
each entry (ids are random: every commit writes most pages of their index again). Few of these bytes
are in the channel at once; they wait behind its own, lower, bound, so that live frames pass."""

HANDSHAKE_BYTES_MAX = 4_096
HANDSHAKE_S = 10.0
"""What somebody unproven may cost us."""

GUESSES_MAX = 3
"""Wrong passwords that an invite outlives, less one: enough for a slip or two, and of a weak
password's ten thousand an attacker tries three."""

CLOCK_PULL_MS = 60_000
"""How far ahead of the wall remote clocks may pull ours."""

TIME_MIN_MS = 1_577_836_800_000  # 2020-01-01
TIME_MAX_MS = 7_258_118_400_000  # 2200-01-01

RECIPIENTS_MAX = 4_096
"""Members that one epoch is sealed to; 200 bytes each."""

SEEN_ROWS_MAX = 1_024
"""Chains of one frame of read marks: 30 bytes each, for `live`; more go in several."""

SDP_BYTES_MAX = 8_192
"""A WebTorrent offer; libtorrent's take 1 to 2 KB."""

INTRODUCTION_BYTES_MAX = 1_000
"""A sealed offer or answer, as on every carrier (`signaling.envelope.ENVELOPE_MAX`)."""

NEAR_MAX = 64
"""Persons named in one frame as linked with its sender; more take more frames."""

PROOF_TEXT_MAX = 1_048_576
"""Characters of a page that a proof is looked for in."""

PROOFS_MAX = 64
"""Proofs of one page that are read; each may cost a verification."""

PLACE_BYTES_MAX = 512
"""The address that a proof is meant for."""

VOUCHES_MAX = 4_096
"""Entries of a room that are read for who vouches for whom, the newest: whoever writes more than
that pushes out hints, and nothing else."""
ACT_SEEN_MAX = 512
"""Chains that an act of membership names: those that have any act, 30 bytes each."""

CHAINS_EACH_MAX = 256
"""Chains of one person in a room of many, those with the least ids: honest ones begin one with each
restored copy. Else one member could fill the room's, and nobody new could write."""

FORKS_EACH_MAX = 16
"""Logs of one person that are known to be forked one by one, 256 KiB of proof each at the most:
honest ones fork where a copied home runs twice. Of whoever has more nothing is taken any more."""

FIRST_CHAINS_MAX = 8_192
"""Chains beyond a room's, each the first under its admission: of twice as many people as a key is
sealed to, whoever filled the room."""

CUTS_MAX = 256
"""Chains of one person that a removal names, 150 bytes each; what it does not name is void."""

TOPIC_BYTES_MAX = 512
"""A room's name, topic, or another of its settings."""

PARENTS_MAX = 8
"""Epochs that a new one follows; more than one only where several were made at the same time."""

STRAYS_MAX = 2
"""Grants by one member to another that is none any more which make a new key needed, for each time
that this one was let in: whoever has not heard of a removal may grant in good faith, and whoever
means harm needs no grant to hand a key out."""

CONTESTED_MAX = 64
"""Acts of one person, who is no member, that are judged although they stand in no chain that counts
and whoever removed it had not seen them; also of one frame of such acts."""

REQUESTS_MAX = 256
"""Requests to be let in that are read of one author in a room, the newest: nobody's shall hide
those of others."""

REQUESTS_READ = 1_024
"""Of all authors: each costs a decryption and two signatures, once."""

VISIBLE_ROOMS_MAX = 8
"""Rooms in one listing, 80 bytes each: what a network hears of somebody fits one frame."""

KNOCKS_MAX = 6
"""Knocks that wait for a person at once: more nobody compares words with."""

KNOCKS_EACH = 2
"""Of them from one source: homes on one machine share an address, and one neighbour must not take
all places."""
