"""Show something outside that retrainings go on, and say where nothing was promoted for weeks.

What cannot send any more (the machine is off, the disk is gone) is noticed by whoever misses the heartbeat.
"""

import json
from collections import Counter
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from graft.automation.retraining.outcome import Outcome, headline
from graft.automation.retraining.retrain_history import last_outcomes
from graft.core.credentials import without_credentials
from graft.core.errors import first_line
from graft.core.files import write_file
from graft.core.outside import own_path
from graft.core.params.models import Params
from graft.core.project import Project
from graft.core.wording import counted
from graft.registry.promotion.line import Line, read_champions

_SECONDS = 10  # that an address may take
_AGAIN = timedelta(days=7)  # between two messages that nothing was promoted
_RUNS = 1000  # looked back


def beat(project: Project, target: str, outcome: Outcome) -> str:
    """Write the file, or ask the address, of ``retrain.heartbeat``; return what went wrong, ``""`` where nothing did.

    To be called after a run that has not failed. Nothing is raised: the retraining stands.
    """
    try:
        if "://" not in target:
            said = {"at": outcome.at, "dataset": outcome.dataset, "outcome": headline(outcome)}
            write_file(project.root / own_path(target), json.dumps(said) + "\n")
        elif problem := _ask(target):
            return f"the heartbeat was not taken: {problem}"
    except Exception as error:
        # The path and query of such an address are its secret.
        where = urlsplit(target).hostname or target
        return f"no heartbeat at {where}: {type(error).__name__ if '://' in target else first_line(error)}"
    return ""


def _ask(url: str) -> str:
    from graft.core.download.redirects import new_session

    with new_session() as session, session.get(url, timeout=_SECONDS, stream=True) as response:
        return "" if response.ok else f"{urlsplit(url).hostname} answers {response.status_code}"


def weeks_without_promotion(project: Project, line: Line, now: datetime) -> int:
    """Return the whole weeks since the champion changed, or since the first retraining where there is none.

    0 where nothing is retrained here.
    """
    runs = last_outcomes(project, _RUNS)
    if not runs:
        return 0
    since = line.entries[-1].at if line.entries else runs[-1].at
    return (now - datetime.fromisoformat(since)) // timedelta(weeks=1)


def is_stuck(project: Project, params: Params, now: datetime) -> str:
    """Return that nothing was promoted for ``retrain.notify.stuck_weeks``, and what stood against it, in sentences.

    What deliveries have shown of the champion, that it is stuck or worse than was said, is said at once.

    Returns:
        ``""`` where that is not so, and within a week of the last time.
    """
    limit, runs = params.retrain.notify.stuck_weeks, last_outcomes(project, _RUNS)
    is_shown = next((bool(run.shown) for run in runs if run.version), False)  # by the last that judged
    is_young = not runs or now - datetime.fromisoformat(runs[-1].at) < timedelta(weeks=limit)
    if not limit or (is_young and not is_shown):
        return ""  # the registry is not asked
    line, shown = read_champions(project, params)
    weeks = weeks_without_promotion(project, line, now)
    if weeks < limit and not shown:
        return ""
    if any(run.stuck and now - datetime.fromisoformat(run.at) < _AGAIN for run in runs):
        return ""
    if weeks < limit:
        return shown
    since = now - timedelta(weeks=weeks)
    recent = [run for run in runs if datetime.fromisoformat(run.at) >= since]
    return f"{without_credentials(_in_words(weeks, recent))} {shown}".strip()


def _in_words(weeks: int, recent: list[Outcome]) -> str:
    judged = [run for run in recent if run.version]
    rules = Counter(rule.partition(":")[0] for run in judged for rule in run.refused)
    against = ", ".join(f"{name} {count} times" if count > 1 else name for name, count in rules.most_common())
    if not judged:
        why = "nothing was trained since"
    elif against:
        why = f"of {len(judged)} judged since, the gate refused by {against}"
    else:
        why = f"{counted(len(judged), 'challenger')} passed, and none was promoted: graft promote"
    return f"Nothing was promoted for {weeks} weeks: {why}."
