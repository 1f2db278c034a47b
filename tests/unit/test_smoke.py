from xpander_sdk import Task


def test_server(server):
    assert Task.report_external_task(server.configuration, "a", "x").id == "x"


def test_embedded(embedded):
    assert Task.report_external_task(embedded, "a", "x").id == "x"
