"""Everyday papers: recipes, receipts, weather reports and small advertisements."""

from __future__ import annotations

from dragoman.evals.organism.concept import declare
from dragoman.evals.organism.words import FOODS, TOWNS, listed, weekday
from dragoman.evals.organism.writer import Templates, Writer

from .family import Family

CONCEPTS = declare(
    "household",
    {
        "doc.recipe": ("document", "a recipe"),
        "doc.receipt": ("document", "a shop receipt"),
        "doc.weather": ("document", "a weather report"),
        "recipe.title": ("slot", "the name of a dish at the top of a recipe"),
        "recipe.amount": ("slot", "the number in an amount of an ingredient"),
        "recipe.unit": ("slot", "the unit of an amount of an ingredient"),
        "recipe.ingredient": ("slot", "an ingredient in the list of a recipe"),
        "recipe.step.verb": ("slot", "the command that begins a step of a recipe"),
        "recipe.step.food": ("slot", "an ingredient where a step of a recipe uses it"),
        "recipe.step.vessel": ("slot", "the pan or bowl in a step of a recipe"),
        "recipe.step": ("structure", "a step of a recipe"),
        "recipe.minutes": ("slot", "the number of minutes in a recipe"),
        "receipt.item": ("slot", "what was bought, on a receipt"),
        "receipt.quantity": ("slot", "how many were bought, on a receipt"),
        "receipt.price": ("slot", "the price of an item on a receipt"),
        "receipt.currency": ("punctuation", "the dollar sign of a price on a receipt"),
        "receipt.cents": ("slot", "the digits after the point of a price on a receipt"),
        "receipt.total": ("slot", "the total of a receipt"),
        "receipt.shop": ("slot", "the name of the shop on a receipt"),
        "receipt.label": ("slot", "the label of the last lines of a receipt, such as TOTAL"),
        "weather.city": ("slot", "the city that a weather report is about"),
        "weather.sky": ("slot", "the state of the sky in a weather report"),
        "weather.wind": ("slot", "the direction of the wind"),
        "weather.temperature": ("slot", "the number of degrees in a weather report"),
        "weather.unit": ("slot", "the unit of a temperature"),
        "weather.warm": ("state", "a weather report of 20 degrees or more, after the number"),
        "weather.cold": ("state", "a weather report of less than 5 degrees, after the number"),
        "weather.advice": ("slot", "the advice that follows from the temperature"),
        "weather.time": ("slot", "the part of the day in a weather report"),
    },
)
INGREDIENTS = tuple(food for food in FOODS if food not in ("soup", "cake", "salad"))
DISHES = listed("soup salad cake stew pie bread")
STEPS = Templates(
    "recipe.step",
    (
        "{verb|recipe.step.verb} the {food|recipe.step.food} in the {vessel|recipe.step.vessel} for {minutes|recipe.minutes} "
        "minutes.",
        "{verb|recipe.step.verb} the {food|recipe.step.food} and the {other|recipe.step.food}.",
        "{verb|recipe.step.verb} the {food|recipe.step.food} to the {vessel|recipe.step.vessel}.",
    ),
    ("{verb|recipe.step.verb} the {food|recipe.step.food} once more for {minutes|recipe.minutes} minutes.",),
)
VERBS = {
    "in": ("Cook", "Fry", "Boil", "Heat"),
    "and": ("Mix", "Chop", "Wash"),
    "to": ("Add", "Move", "Return"),
    "once": ("Stir", "Boil"),
}
VESSELS = listed("pan bowl pot dish oven")


def recipe(w: Writer) -> None:
    """A title, three to five ingredients and three to five steps that use them."""
    foods = w.among(INGREDIENTS, w.rng.randint(3, 5))
    w.fill("{title|recipe.title}", title=f"{foods[0].capitalize()} {w.pick(DISHES)}")
    for food in foods:
        w.line()
        w.fill(
            "{amount|recipe.amount} {unit|recipe.unit} {food|recipe.ingredient,food}",
            amount=str(w.pick((2, 3, 4, 5))) if (cups := w.chance(0.5)) else str(w.pick((50, 100, 200, 250, 500))),
            unit=w.pick(("cups of", "spoons of", "slices of")) if cups else "grams of",
            food=food,
        )
    w.line()
    for _ in range(w.rng.randint(3, 5)):
        template = w.choose(STEPS)
        sort = next(one for one in ("once", "in", "to", "and") if f" {one} " in template)
        food, other = w.among(foods, 2)
        w.space()
        start = w.position
        w.say(
            template,
            verb=w.pick(VERBS[sort]),
            food=(food, "food"),
            other=(other, "food"),
            vessel=w.pick(VESSELS),
            minutes=str(w.pick((2, 3, 5, 10, 15, 20, 30, 45))),
        )
        w.mark(start, "recipe.step")


SHOPS = ("CORNER SHOP", "GREEN MARKET", "CITY STORE", "FARM FOODS")


def receipt(w: Writer) -> None:
    """Four to seven items with prices, the sum, and what was paid."""
    w.add(w.pick(SHOPS), "receipt.shop")
    total = 0
    for food in w.among(FOODS, w.rng.randint(4, 7)):
        w.line()
        quantity, cents = w.rng.randint(1, 6), w.rng.randint(1, 9) * 100 + w.pick((0, 20, 25, 49, 50, 75, 95, 99))
        total += quantity * cents
        w.fill("{quantity|receipt.quantity} x {food|receipt.item,food} ", quantity=str(quantity), food=food)
        _money(w, quantity * cents, "receipt.price")
    w.line()
    w.fill("{=TOTAL|receipt.label} ")
    _money(w, total, "receipt.total")
    if w.chance(0.6):
        w.line()
        w.fill("{label|receipt.label} ", label=w.pick(("CASH", "CARD")))
        _money(w, total, "receipt.total")


def _money(w: Writer, cents: int, concept: str) -> None:
    start = w.position
    w.add("$", "receipt.currency")
    w.add(f"{cents // 100}.")
    w.add(f"{cents % 100:02}", "receipt.cents")
    w.mark(start, concept, "price")


WEATHER = Templates(
    "weather.report",
    (
        "{city|weather.city}: {sky|weather.sky}, wind from the {wind|weather.wind}, {degrees|weather.temperature} "
        "{=degrees|weather.unit}. {advice|weather.advice}.",
        "In {city|weather.city} it will be {sky|weather.sky} {time|weather.time} with {degrees|weather.temperature} "
        "{=degrees|weather.unit}. {advice|weather.advice}.",
        "On {day} {city|weather.city} expects {degrees|weather.temperature} {=degrees|weather.unit} and wind from the "
        "{wind|weather.wind}. {advice|weather.advice}.",
    ),
    (
        "For {city|weather.city} we expect {degrees|weather.temperature} {=degrees|weather.unit} {time|weather.time}. "
        "{advice|weather.advice}.",
    ),
)
SKIES = listed("sunny cloudy foggy stormy clear rainy")
WINDS = listed("north south east west")
ADVICE = {
    "warm": ("Drink enough water", "Stay in the shade", "Leave your coat at home"),
    "cold": ("Wear a warm coat", "Roads may be icy", "Protect your plants from frost"),
    "mild": ("Take a light jacket", "A good day for a walk"),
}


def weather(w: Writer) -> None:
    """Four to six cities; the advice follows from the temperature."""
    for city in w.among(TOWNS, w.rng.randint(4, 6)):
        degrees = w.rng.choice((*range(-9, -1), *range(2, 35)))
        kind = "warm" if degrees >= 20 else "cold" if degrees < 5 else "mild"
        w.line() if w.chance(0.3) else w.space()
        w.say(
            w.choose(WEATHER),
            city=(city, "town"),
            sky=w.pick(SKIES),
            wind=w.pick(WINDS),
            degrees=str(degrees),
            advice=w.pick(ADVICE[kind]),
            time=w.pick(("in the morning", "at noon", "at night", "all day")),
            day=weekday(w),
        )
        if kind != "mild":
            last = max(end for _, end, concept in w.spans[-60:] if concept == "weather.temperature")
            w.mark(last, f"weather.{kind}")


FAMILIES = (
    Family("recipe", 1.2, recipe, prose=True),
    Family("receipt", 1.4, receipt),
    Family("weather", 1.2, weather, prose=True),
)
