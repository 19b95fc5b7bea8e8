"""An alert is raised once while it is open."""

from sqlalchemy import select

from cluster.database import Database
from cluster.records import Alert
from deployments.alerts.raising import raise_alert


def test_an_open_alert_is_brought_up_to_date(database: Database) -> None:
    said = {"kind": "drift", "source_id": "mon_1"}
    with database.session() as session:
        first = raise_alert(session, **said, title="Topics moved", body={"share": 0.2})
    with database.session() as session:
        assert raise_alert(session, **said, title="Topics moved", body={"share": 0.3}) == first
        assert (
            raise_alert(session, kind="drift", source_id="mon_2", title="Other", body={}) != first
        )
    with database.session() as session:
        alert = session.get_one(Alert, first)
        assert (alert.body, alert.status) == ({"share": 0.3}, "open")
        assert alert.deliver_at is not None
        alert.status = "resolved"
    with database.session() as session:
        assert raise_alert(session, **said, title="Topics moved again", body={}) != first
        assert len(list(session.scalars(select(Alert)))) == 3
