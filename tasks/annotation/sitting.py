"""One sitting: questions of a run, asked on a page or by a file, whose answers end as verdicts in its store."""

from pathlib import Path
from typing import NamedTuple

from critique.annotation.accuracy import Accuracy
from critique.annotation.answers import AnswersError, newest, parse_answers
from critique.annotation.questions import Question
from storage.finished_file import write_text
from storage.records import DrawnGroup
from tasks.annotation.deck import Deck, draw_question, make_deck
from tasks.annotation.kept_answers import Imported, agreements, keep, kept, to_store
from tasks.annotation.page import SIZE, embedded, page_text
from tasks.run.plan import Plan
from tasks.run.settings import Settings


class Annotated(NamedTuple):
    """What came of a sitting: the answers in the store, and how far critics agree with all answers so far."""

    imported: Imported
    agreements: list[Accuracy]


def deck_of(settings: Settings, gens: list[str] | None, shown: int, count: int, seed: int) -> Deck:
    """The questions of a run. Raises SettingsError without groups, or if none can be shown."""
    plan = Plan(settings)
    return make_deck(plan.store, plan.gens(gens, "annotate"), shown, count, seed)


def settle(settings: Settings) -> Annotated:
    """Write the answers that a run has to its store, and measure the critics by them."""
    plan = Plan(settings)
    answers = kept(plan.folder)
    with plan.held():
        imported = to_store(plan.store, settings.run.name, answers)
    return Annotated(imported, agreements(plan.store, answers))


def bring_in(settings: Settings, file: Path) -> Annotated:
    """Take the answers of an exported file into a run. Raises AnswersError if it holds none, SettingsError without
    groups.
    """
    plan = Plan(settings)
    plan.gens(None, "annotate")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise AnswersError(f"{file}: {error.strerror}; give the file that the page exported") from None
    answers = parse_answers(content, str(file))
    before = set(kept(plan.folder))
    keep(plan.folder, [answer for answer in newest(answers) if answer not in before])
    return settle(settings)


def write_file(settings: Settings, deck: Deck, file: Path) -> Path:
    """Write the questions as one HTML file, with their pictures, that exports its answers as JSON."""
    plan = Plan(settings)

    def pictures(number: int, question: Question) -> dict[str, object]:
        return embedded(draw(plan, deck, question))

    write_text(file, page_text(settings.run.name, deck.questions, deck.seed, pictures, served=False))
    return file


def draw(plan: Plan, deck: Deck, question: Question) -> DrawnGroup:
    """The pictures of a question, as large as the page shows them."""
    return draw_question(plan.store, deck, question, plan.body_path, plan.settings.overlay.backend, SIZE)
