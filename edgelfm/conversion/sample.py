"""The text over which a converted model and its source are compared, unless another is given: some 500 tokens.

Of several kinds, as a model that was damaged in one place may still do well in others: prose, an instruction with its
answer, figures, code, JSON, and other languages.
"""

from __future__ import annotations

SAMPLE = """\
The lighthouse had been dark for eleven winters when the council decided to sell it. Nobody on the island expected a
buyer. The road to it was washed out twice a year, the well tasted of iron, and the stairs, two hundred and six of them,
had begun to lean away from the wall. Then, on a Tuesday in March, a woman stepped off the ferry with a toolbox, a cello
case and a letter from the bank, and asked the harbour master where she could find a ladder.

Question: How does a heat pump warm a house when the air outside is cold?
Answer: Cold air still holds heat. A heat pump lets a liquid with a very low boiling point evaporate outdoors, where it
takes up heat from the air. A compressor then squeezes the vapour, which makes it much hotter, and in the house it
condenses again and gives that heat to the water of the radiators. For one kilowatt hour of electricity it moves three
or four of heat. The colder it is outside, the harder the compressor has to work, so the gain becomes smaller.

In 2019 the plant produced 48,200 tonnes; in 2020 only 39,750, which is 17.5 % less. At 312 euros a tonne the difference
of 8,450 tonnes comes to 2,636,400 euros.

def moving_average(values, width):
    \"\"\"Means of every `width` neighbours.\"\"\"
    if width < 1:
        raise ValueError("width must be at least 1")
    total = sum(values[:width])
    means = [total / width]
    for i in range(width, len(values)):
        total += values[i] - values[i - width]
        means.append(total / width)
    return means

{"sensor": "greenhouse-3", "readings": [{"time": "06:00", "celsius": 17.2}, {"time": "12:00", "celsius": 24.8}]}

Der Zug nach Bremen hatte zwanzig Minuten Verspätung, also setzten wir uns auf den Bahnsteig und aßen die letzten Brote.
Elle a rangé les livres par couleur, ce qui est joli, mais on ne retrouve plus rien. El perro duerme junto a la ventana.
春になると、川沿いの桜が一斉に咲きます。 الماء يغلي عند مئة درجة مئوية.
"""
