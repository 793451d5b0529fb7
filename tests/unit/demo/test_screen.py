from datetime import timedelta

from rich.console import Console

from ecoserve.api import PlacementPlanSpec
from ecoserve_demo.observation import Observation, OfflinePod
from ecoserve_demo.scenario import Scenario
from ecoserve_demo.screen import Screen, line, picture

PLAN = PlacementPlanSpec.model_validate(
    {
        "id": "plan-1",
        "plannedAt": "2022-04-20T03:00:00+00:00",
        "gramsPerHour": 728.4,
        "zones": [{"name": "us-west", "carbonIntensity": 289.0, "pue": 1.12}],
        "placements": [
            {
                "namespace": "demo",
                "serving": "chat-8b",
                "pool": "p5-48xlarge.us-east.2023-10-01",
                "role": "both",
                "class": "online",
                "tensorParallel": 1,
                "replicas": 2,
                "share": 1.0,
                "operationalGramsPerHour": 700.0,
                "embodiedGramsPerHour": 28.4,
            }
        ],
    }
)
SEEN = Observation(
    plan=PLAN,
    ready={"chat-8b-0": (1, 2)},
    offline=(
        OfflinePod(name="a", node="m7i-0", phase="Running", decision={}),
        OfflinePod(name="b", node="", phase="Pending", decision={}),
    ),
    instance_types={"m7i-0": "m7i.48xlarge"},
)
SCENARIO = Scenario()
NOW = SCENARIO.start + timedelta(hours=3)


def test_the_picture_fits_a_hundred_columns() -> None:
    console = Console(width=100, record=True, quiet=False)
    with console.capture() as captured:
        console.print(picture(NOW, SEEN, SCENARIO))
    assert "1 of 2 replicas ready" in captured.get()
    assert max(len(row) for row in captured.get().splitlines()) <= 100


def test_the_line_of_an_hour_tells_grid_carbon_placement_and_offline_pods() -> None:
    told = line(NOW, SEEN)
    assert told.startswith("03:00  us-west 289 g/kWh  728 gCO2e/h")
    assert "chat-8b 2×1 on p5-48xlarge.us-east.2023-10-01" in told
    assert told.endswith("1 on m7i.48xlarge, 1 waiting")


def test_before_the_first_plan_it_says_so() -> None:
    seen = Observation(plan=None, ready={}, offline=(), instance_types={})
    assert "waiting for the first plan" in line(NOW, seen)


def test_a_log_gets_one_line_an_hour() -> None:
    console = Console(width=200, record=True, force_terminal=False)
    screen = Screen(console, SCENARIO)
    with screen.drawing():
        for minutes in (0, 20, 59, 60, 61):
            screen.show(SCENARIO.start + timedelta(minutes=minutes), SEEN)
    assert console.export_text().count("gCO2e/h") == 2


def test_a_day_lasts_as_long_as_its_hours() -> None:
    scenario = Scenario(hours=24, seconds_per_hour=5)
    assert (scenario.end - scenario.start).total_seconds() / scenario.speed == 120
