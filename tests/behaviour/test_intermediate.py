"""With a name server of the department between: ten messages."""

from tests.behaviour.subjects import Subject

WORLD = "intermediate"


def test_ten_messages_then_two(internet: Subject) -> None:
    internet.cold()
    for host, messages in (("cse.nyu.edu", 10), ("apricot.nyu.edu", 12)):
        assert internet.resolve("gaia.cs.umass.edu", "A", host) == ("NOERROR", [internet.address("gaia.cs.umass.edu")])
        assert len(internet.messages()) == messages
