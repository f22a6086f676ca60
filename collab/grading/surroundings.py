"""Words beside a number that keep it as it is, and words that make something else of it.

Before a number only words that are known to be harmless are read over. After it stand the names
of what is counted, which no list holds, so there the harmful words are listed.
"""

import re
from collections.abc import Sequence

from collab.grading.lexing import Token

_BEFORE_LISTED = (
    # verbs
    "is are was were be been being am equals equal gives give gave makes make made earns earn "
    "earned has have had gets get got receives receive received costs cost needs need needed "
    "spends spend spent pays pay paid sells sell sold saves save saved takes take took uses use "
    "used owes owe owed buys buy bought eats eat ate reads read weighs weigh scores score scored "
    "sees see saw runs run ran walks walked drives drove bakes baked drinks drank collects "
    "collected picks picked plants planted wins won finds found leaves keeps kept contains "
    "contain holds hold becomes become remains remain charges charged produces produced yields "
    "yield drops requires require worked works lasts completes completed counts counted carries "
    "gained lost started start starts did does do slept sleep sleeps traveled travels travelled "
    "travel raises raised covers covered covering adds added taking another additional next first "
    "last extra ended ends lays laid fills filled sends sent reaches reached "
    # what names or introduces a result
    "answer result total totals sum value price profit amount number count age length width "
    "height area volume distance time speed average mean median difference product probability "
    "percentage ist est es son option choice letter left remaining finally altogether overall "
    "together thus therefore hence so then which namely ie i e "
    # articles, approximations, currencies and the like
    "a an the all both either exactly precisely approximately approx about around roughly nearly "
    "almost circa only just simply now still also actually another his her their its "
    "us usd eur gbp aud cad inr rs no nr aed chf rmb cny jpy hk nt s "
    "in on at by for with from and or as since because of to day week month year"
)
_BEFORE = frozenset(_BEFORE_LISTED.split()) - {"no", "nr", "from", "as", "with"}
_TOTALS_LISTED = (
    "total value answer result amount cost price profit balance average count score distance "
    "speed maximum minimum sum grand income revenue weight length height age number"
)
_BEFORE_OF = frozenset(_TOTALS_LISTED.split())
_BEFORE_TO_LISTED = (
    "equal equals comes come came amounts amount adds add sums sum up down totals round rounds "
    "rounded simplifies reduces evaluates corresponds equates equivalent leads works"
)
_BEFORE_TO = frozenset(_BEFORE_TO_LISTED.split())
_ADDED_UP_LISTED = "add adds added adding sum sums come comes round rounds rounded"
_ADDED_UP = frozenset(_ADDED_UP_LISTED.split())
_DENIALS_LISTED = (
    "not never no neither nor none cannot can't couldn isn isnt doesn didn wasn won't aren wrong "
    "incorrect false mistaken impossible unknown undetermined indeterminate undefined unsolvable "
    "insufficient unlike except excluding"
)
_DENIALS = frozenset(_DENIALS_LISTED.split())
_HARMFUL_BEFORE_LISTED = (
    "half halves twice thrice double triple least most up square squared root cube cubed "
    "multiplied divided subtracted negative minus more less fewer between below beneath under "
    "exceeds exceeding"
)
_HARMFUL_BEFORE = frozenset(_HARMFUL_BEFORE_LISTED.split())
_HARMFUL_AFTER = frozenset({"below", "beneath", "under", "unless", "short"})
_AFTER_LISTED = (
    "mil mill mio mrd gross score scores pi tau phi infinity root to fold choose mod "
    "modulo percentile quadrillion quintillion"
)
AFTER_AT_ONCE = frozenset(_AFTER_LISTED.split())
"""Words that make something else of the number right before them: `5 mil`, `2 pi`, `5 to 1`."""

PERCENT_OF = "百分之"
_EASTERN_HARMLESS = re.compile(
    "大约|大概|大小|大人|小明|小红|小华|小时|小组|最后|最终|多少|"
    "不变|百分之$|第一|除此|差不多|加起来|别人|分别|不过|无论|个数|倍数"
)
_EASTERN_BEFORE = re.compile(
    "[负負零不非未没沒无無勿别別大小多少至最超低高近半倍乘除减減加根几幾余餘差]|分之|平方|立方|"
    "以上|以下|以内|마이너스|최소|최대|아니|약분|마이|マイナス|以外"
)
_EASTERN_AFTER = re.compile(
    "[半余餘几幾不非未没沒错錯负負]|^多|分之|以上|以下|以内|未満|이상|이하|미만|아니|아닌|次方|"
    "的?(?:平方|立方)(?![公英]?[米厘分千毫寸尺里])|零下|开外"
)

_NUMBER_WORDS_LISTED = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy "
    "eighty ninety hundred thousand million half quarter"
)
NUMBER_WORDS = frozenset(_NUMBER_WORDS_LISTED.split())


def is_led_in(before: Sequence[Token], number: Token, *, is_enclosed: bool = False) -> bool:
    """Whether the words before a number leave it as it is: `she makes 18`, not `at least 18`.

    Args:
        before: The words of the statement before the number, first to last.
        number: The number's first token.
        is_enclosed: A bracket opens right before it: `eighteen (18)`.
    """
    if any(_EASTERN_BEFORE.search(_EASTERN_HARMLESS.sub("", one.text)) for one in before):
        return False
    names = [one.text.casefold() for one in before if not one.is_eastern]
    if not names:
        return True
    if _DENIALS & {*names} or any(_is_harmful(names, place) for place in range(len(names))):
        return False
    last = before[-1]
    if last.is_eastern or number.is_labelled:
        return True
    if is_enclosed and NUMBER_WORDS & {*names}:
        return True
    if names[-1] == "to":
        return len(names) > 1 and names[-2] in _BEFORE_TO
    if names[-1] == "of":
        return len(names) > 1 and names[-2] in _BEFORE_OF
    return names[-1] in _BEFORE


def _is_harmful(names: Sequence[str], place: int) -> bool:
    if names[place] == "up" and place:
        return names[place - 1] not in _ADDED_UP
    return names[place] in _HARMFUL_BEFORE


def is_led_out(word: Token, *, is_next: bool) -> bool:
    """Whether a word after a number leaves it as it is: `5 apples`, and not `5 is wrong`."""
    if word.is_eastern:
        return _EASTERN_AFTER.search(word.text) is None
    name = word.text.casefold()
    if is_next and name in AFTER_AT_ONCE:
        return False
    return name not in _DENIALS and name not in _HARMFUL_AFTER
