"""Cards of models: who says what, and the warning to those who decide before a model was trained."""

from datetime import date
from pathlib import Path

import pytest

from gpu_kernels.errors import ModelError
from sentiment.card import CARD_FILE, ModelCard, card_of

CARD = ModelCard("m", date(2019, 6, 30), "news", "MIT", "none")


class TestLookAhead:
    def test_only_before_the_day_up_to_which_it_was_trained(self) -> None:
        assert CARD.look_ahead(date(2019, 7, 1)) is None
        said = CARD.look_ahead(date(2019, 6, 30))
        assert said == (
            "texts are scored by m, which was trained on text up to 2019-06-30: decisions from 2019-06-30 to that day "
            "may look ahead through the model itself"
        )

    def test_an_unknown_day_is_a_warning_whenever_decisions_begin(self) -> None:
        card = ModelCard("m", None, None, None, "none")
        assert "nobody says up to when m was trained" in str(card.look_ahead(date(2100, 1, 1)))

    def test_masking_is_told(self) -> None:
        assert str(CARD.look_ahead(date(2015, 1, 1), masked=True)).endswith("makes that less likely")


class TestCardOf:
    def test_embedded(self) -> None:
        card = card_of("embedded")
        assert card.trained_through is not None
        assert card.trained_through >= date(2021, 1, 1)  # its encoder is of 2021

    def test_a_folder_tells_its_own(self, tmp_path: Path) -> None:
        (tmp_path / CARD_FILE).write_text("trained_through: 2018-01-31\ntraining_data: [news, tweets]\nlicence: MIT\n")
        assert card_of(tmp_path) == ModelCard(tmp_path.name, date(2018, 1, 31), "news, tweets", "MIT", CARD_FILE)

    def test_a_folder_without_a_card_is_unknown(self, tmp_path: Path) -> None:
        card = card_of(tmp_path)
        assert (card.trained_through, card.source) == (None, "none")

    def test_the_caller_goes_first(self, tmp_path: Path) -> None:
        (tmp_path / CARD_FILE).write_text("trained_through: 2018-01-31\nlicence: MIT\n")
        card = card_of(tmp_path, trained_through=date(2020, 1, 1))
        assert (card.trained_through, card.licence) == (date(2020, 1, 1), "MIT")
        assert card.source == f"the config (trained_through) and {CARD_FILE}"

    def test_known_names_of_the_hub_at_any_revision(self) -> None:
        assert card_of("ProsusAI/finbert@refs/pr/3").trained_through == date(2019, 8, 27)
        assert card_of("yiyanghkust/finbert-tone").trained_through is None
        assert card_of("somebody/else").training_data is None

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("trained_through: soon\n", "says trained_through: soon; allowed: a day, YYYY-MM-DD"),
            ("trained_trough: 2018-01-31\n", "has the key 'trained_trough'; allowed: trained_through"),
            ("- 1\n", "holds list"),
            ("a: [\n", "cannot be read"),
        ],
    )
    def test_a_bad_card_is_one_line(self, tmp_path: Path, text: str, words: str) -> None:
        (tmp_path / CARD_FILE).write_text(text)
        with pytest.raises(ModelError) as error:
            card_of(tmp_path)
        assert words in str(error.value)
        assert "\n" not in str(error.value)
