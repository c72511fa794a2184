"""The eight forms of text: how each begins, what may stand in its middle, how it ends.

A template is words and slots. {kind}: any word of a kind. {kind=x}: the same, remembered as x. {kind!x}: another one than x.
{=x}: x again. {he(x)} {his(x)} {him(x)}: the pronoun of x, with a capital where a sentence starts. {sound(x)}: what the animal x does.
{next(x)}: the day after x. {less(x)}: one less than x. {a}: 'a' or 'an', as the next word wants.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Form:
    """head, middle sentences by name, tail; must: those always there; counts: how many of the middle are chosen, where they fit."""

    name: str
    title: str
    head: str
    middle: dict[str, str]
    tail: str
    must: tuple[str, ...] = ()
    counts: tuple[int, ...] = (1, 2, 3)


NOTICE = Form(
    "notice",
    "notice of a lost animal",
    "Lost : {a} {look} {animal=pet} called {name=x} , last seen near the {place=p} on {day} .",
    {
        "habit": "{He(x)} {habit} and is afraid of {fear} .",
        "mark": "On {his(x)} {part} there is {a} {colour} {mark} .",
        "call": "If you meet {him(x)} , try {call} : {he(x)} {sound(pet)} at {target} only .",
        "food": "{His(x)} supper is {taste} {food} , taken {manner} .",
        "warning": "Do not {flatter} {him(x)} , for {he(x)} {habit} as well .",
    },
    "Please bring {=x} back to the {=p} . Reward : {number=n} {thing} , all {=n} of them {state} .",
)
POSTCARD = Form(
    "postcard",
    "postcard",
    "Dear {name=to} , greetings from the {place=p} !",
    {
        "friend": "On {day=d} {name=f!to} {deed} while {his(f)} {animal=pet} {slept} .",
        "room": "The {room} is full of {soft} {weather} , and so are we .",
        "noise": "Every {hour} somebody {noise} below our window .",
        "rain": "I had to buy {a} {colour} {garment} against the {weather} .",
        "food": "They serve {taste} {food} here , even to the {animal!pet} .",
    },
    "In {number=n} days {=f} , the {=pet} and I take the {boat} home . Keep {=n} {thing} for us , one for each day . Yours , {name!f!to}",
    must=("friend",),
)
RECIPE = Form(
    "recipe",
    "impossible recipe",
    "To make {herb=h} {dish=s} for {number=n} {guests=g} , begin at the {place=p} on a {day=d} night .",
    {
        "stir": "Boil {soft} water and stir it with {a} {tool=t} until {until} .",
        "add": "Add {number!n} spoons of {herb!h} and the {essence} of {a} {look} {animal} .",
        "trouble": "Should the {=s} begin to {misbehave} , {remedy} .",
        "rest": "Let it rest {rest} for as long as {a} {animal} {slept} .",
        "taste": "It is ready when it tastes of {taste} {food} and {smell} .",
    },
    "Wash the {=t} in {weather} . The {=n} {=g} must praise the {=h} and be gone before {day!d} .",
    must=("stir",),
)
WEATHER = Form(
    "weather",
    "weather report for a strange place",
    "{Day=d} at the {place=p} : {soft} {weather=w} in the morning , {soft} {weather!w} after noon .",
    {
        "wind": "A {point} wind smells of {smell} and carries {number=n} {thing=t} ; all {=n} {=t} must be returned .",
        "keeper": "{name=k} , who keeps the {=p} , writes that {his(k)} {animal} {omen} .",
        "advice": "{Guests} are asked to {measure} , {advice} to {measure} .",
        "mood": "The barometer is {mood} and points at {a} {look} {animal} .",
        "fog": "Whoever owns {a} {colour} {garment} may lend it to the {=w} .",
    },
    "By {next(d)} the {=w} will have left the {=p} , and everybody will be {mood} again .",
)
MUSEUM = Form(
    "museum",
    "museum label",
    "This {look} {object=o} was made by {name=x} , keeper of the {place=p} , out of {number=n} {parts=m} and {a} {tool=t} .",
    {
        "cost": "{He(x)} {cost} for it and never used {a} {tool!t} again .",
        "habit": "The {=o} {habit2} , which {his(x)} {animal=pet} could not bear .",
        "idea": "Scholars say that the {=n} {=m} stand for {idea} ; {=x} said they stand for {idea} .",
        "visit": "You may {visit} the {=o} , but never on {a} {day} and never with {fear} .",
        "theft": "In the year of the {soft} {weather} {a} {animal} stole it and left {thing} .",
    },
    "Gift of {his(x)} {relative} , who kept it in {a} {chest} at the {=p} .",
)
DIARY = Form(
    "diary",
    "diary entry",
    "{Day=d} . Met {a} {look} {animal=pet} at the {place=p} today .",
    {
        "friend": "{name=f} says it {claim} , but {he(f)} {habit} , so who knows .",
        "lunch": "Of {number=n} {snack} for lunch {=f} ate {less(n)} and the {=pet} ate one .",
        "sound": "When it is {mood} it {sound(pet)} , and the {room} fills with {weather} .",
        "gift": "I gave it {a} {colour} {garment} , and it gave me {number} {thing} .",
        "evening": "In the evening we {evening} until {until} .",
    },
    "Tomorrow is {next(d)} , and the {=pet} wants to {plan} with {=f} . I hope {he(f)} owns {a} {tool} .",
    must=("friend",),
)
LETTER = Form(
    "letter",
    "letter of complaint",
    "Dear {title=t} , the {look} {object=o} that you sold me at the {place=p} last {day=d} {defect} .",
    {
        "family": "My {relative=r} refuses to leave {his(r)} {kept} and talks of nothing but {talk} .",
        "promise": "You called it {promise} , yet even my {animal=pet} {sound(pet)} when it {defect} .",
        "parts": "Of its {number=n} {parts} only {less(n)} are left , all of them {mood} .",
        "answer": "When I complained , a man named {he_name=m2} told me to {measure} , and he was {mood} .",
        "smell": "Since then the {room} smells of {smell} and {a} {animal} sleeps in it .",
    },
    "Take the {=o} back before {day!d} , {=t} , or my {=r} will {plan} . Yours in {feeling} , {name}",
    must=("family",),
)
HOROSCOPE = Form(
    "horoscope",
    "horoscope",
    "Born under the {animal=z} ? On {day=d} {a} {look} {stranger=s} will bring you {number=n} {thing=t} .",
    {
        "caution": "Do not {flatter} {him(s)} : {he(s)} only wants to {wish} .",
        "lucky": "Your lucky number is {=n} , your lucky {luck} is {colour} .",
        "avoid": "Avoid the {place} , {fear} and all talk of {talk} .",
        "love": "Love comes {love} and smells of {smell} .",
        "money": "Money {money} , so {rite} .",
    },
    "On {next(d)} give all {=n} {=t} to {a} {animal!z} and {rite} . The {=s} will be {mood} .",
)
FORMS = {form.name: form for form in (NOTICE, POSTCARD, RECIPE, WEATHER, MUSEUM, DIARY, LETTER, HOROSCOPE)}
