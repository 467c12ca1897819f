"""The text that an importance matrix is computed from where people have none of their own: some 1,500 tokens.

Of the kinds that models are asked for, and none of it in the text that outcomes are compared over: what was calibrated
on a text does better on that text than elsewhere. It is short for its purpose.
"""

from __future__ import annotations

CALIBRATION = """\
User: My tomato plants have yellow leaves at the bottom, but the tops look fine. What is wrong?
Assistant: Most likely they want nitrogen, which a plant moves from old leaves to new ones when it runs short. Three
other things look alike: too much water, early blight (look for brown rings), and simple age, which is nothing to
worry about.
1. Push a finger into the soil. If it is wet two inches down, water less often.
2. Take off leaves that are more than half yellow.
3. Feed them every second week with something mild, such as diluted nettle tea.
If new leaves turn yellow as well, have the soil tested for iron and for how acid it is.
User: How much nettle tea?
Assistant: One part to ten parts of water, about a litre for each plant.

Summarise in one sentence: The committee met for four hours on Thursday. It heard from two engineers, who said that
the bridge could carry the new trams if the bearings were replaced, and from the treasurer, who said that there was
money for bearings or for a bicycle lane but not for both. A vote was put off until the prices of three suppliers are
known.
Summary: The committee postponed its vote, since the town can afford either new bearings for the trams or a bicycle
lane.

Translate into French: Could you tell me when the next train leaves for Lyon? - Pourriez-vous me dire à quelle heure
part le prochain train pour Lyon ? Into German: We would like a table by the window. - Wir hätten gern einen Tisch am
Fenster. Into Spanish: The battery lasts nine hours. - La batería dura nueve horas. Into Japanese: Please close the
door. - ドアを閉めてください。 Into Korean: The weather is nice today. - 오늘은 날씨가 좋네요. Into Chinese: Where is
the library? - 图书馆在哪里？ Into Arabic: Thank you very much. - شكرا جزيلا. Into Portuguese: See you tomorrow. - Até
amanhã.

A cyclist rides 18 km in 45 minutes, rests for 15 minutes and rides another 24 km in 75 minutes. What is her mean
speed over the whole trip? She covers 18 + 24 = 42 km. The time is 45 + 15 + 75 = 135 minutes, which is 2.25 hours. So
the mean speed is 42 / 2.25 = 18.67 km/h. Without the rest it would be 42 / 2 = 21 km/h.

import csv
from collections import Counter


class Ledger:
    def __init__(self, path: str) -> None:
        self.path = path
        self.totals: Counter[str] = Counter()

    def load(self) -> int:
        with open(self.path, newline="") as handle:
            for row in csv.DictReader(handle):
                amount = float(row["amount"] or 0)
                if amount != 0:
                    self.totals[row["account"].strip().lower()] += amount
        return len(self.totals)

SELECT c.name, COUNT(o.id) AS orders, SUM(o.total) AS spent FROM customers AS c LEFT JOIN orders AS o
  ON o.customer_id = c.id WHERE c.country IN ('NO', 'SE') GROUP BY c.name HAVING spent > 500 ORDER BY spent DESC;

const retry = async (task, times = 3) => { for (let i = 0; ; i++) { try { return await task(); } catch (e) {
  if (i + 1 >= times) throw e; await new Promise((done) => setTimeout(done, 200 * 2 ** i)); } } };

{"name": "book_table", "arguments": {"restaurant": "Le Petit Phare", "people": 4, "date": "2031-05-09", "time":
"19:30", "wishes": ["quiet corner", "one child seat"], "confirmed": false, "contact": {"phone": "+33 4 72 00 11 22",
"mail": null}}}

From: Ingrid. To: everyone on the second floor. Subject: the kettle. Somebody has boiled soup in it again. I have
cleaned it twice this month, and I do not intend to make it three. There is a pan in the left cupboard; it does not
bite.

The old map showed a river where there was now only a line of willows. Marta followed them all the same, one hand on
each trunk as she passed, counting under her breath. At the forty-first the ground gave a little, and she heard, quite
clearly, water running beneath her boots. "So that is where you went," she said. Nobody answered, but a heron got up
from the reeds and flew off to the north, slowly, as though it had been waiting to be asked.

Photosynthesis takes place in two stages. In the first, pigments in the thylakoid membranes absorb light, water is
split, oxygen is set free, and the energy is stored as ATP and NADPH. In the second, the Calvin cycle, carbon dioxide
is bound by the enzyme RuBisCO and built into sugars with that energy. Warmth speeds the enzymes up until they lose
their shape.

| Metal | Density, g/cm3 | Melts at, °C | Used for |
|---|---|---|---|
| Aluminium | 2.70 | 660 | frames, foil |
| Copper | 8.96 | 1085 | wires, pipes |
| Tungsten | 19.3 | 3422 | filaments, tools |

Classify the sentiment. "The screen is gorgeous but it died after a week." - mixed. "Never again." - negative. "Does
what it says." - positive. "It arrived on Monday." - neutral. Which city is meant? "The capital of Peru" - Lima.
Extract the dates: "Signed 3 March 1998, renewed on the first of July 2004" - 1998-03-03, 2004-07-01.

First whisk three eggs with a pinch of salt. Melt a spoon of butter in the pan until it foams, pour the eggs in, and
draw them from the edge to the middle with a fork. When the top is nearly set, fold it over and let it slide onto a
warm plate.
"""
