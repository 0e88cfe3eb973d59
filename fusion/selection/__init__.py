"""Which features a regime may use: rank IC on the training window, false discoveries controlled, every decision kept.

For each refit and regime, a feature's information coefficient is its rank correlation with the primary forward return
over all rows of the training window, each weighted by its session's filtered probability of the regime, and its t
statistic is clustered by session, and allows for labels that span several. `fusion.correlation` has the formulas, and
says why no mean is taken in a session. The p-values of all features and regimes of one refit go through
Benjamini-Hochberg.

Source: Grinold (1989) for the IC; Benjamini & Hochberg (1995).
"""

from fusion.selection.config import SelectionConfig
from fusion.selection.ledger import LEDGER, Measured, measure, select
from fusion.selection.table import candidates, labelled

__all__ = ["LEDGER", "Measured", "SelectionConfig", "candidates", "labelled", "measure", "select"]
