"""The words on the page that more than one place needs. Each model's own words come with the model."""

NAME = "Inkblot"
TAGLINE = "Watch a language model write by denoising"
ABOUT = (
    "A playground for language models that write by denoising: watch words resolve all over a canvas, steer them, "
    "change them by hand, and race them against writing from left to right. Small real models, on any CPU."
)
TITLE = f"{NAME} \u00b7 text diffusion playground"
CHAT = {  # examples for a model that answers questions, by a word or two
    "Blue sky": "Why is the sky blue?",
    "A fox": "Write a short story about a fox who learns to paint.",
    "Saving water": "List five ways to save water at home.",
    "A letter": "Write a friendly letter to a new neighbour.",
    "A bicycle": "Explain how a bicycle stays upright.",
    "Pancakes": "Give me a simple recipe for pancakes.",
    "Rain": "Describe a rainy evening in a small town.",
    "Rome": "What should I see in Rome in one day?",
}
WORLDS = {  # and for the small worlds: a form, and a word or two that must occur
    "Lost animal": "A notice about a lost owl near the lighthouse",
    "Postcard": "A postcard from the volcano, with a penguin",
    "Recipe": "An impossible recipe with starlight, for pirates",
    "Weather": "Weather report for the casino on Sunday",
    "Museum": "A museum label for a teapot by Juno",
    "Diary": "A diary entry about a walrus at the cinema",
    "Complaint": "A letter of complaint about a piano",
    "Horoscope": "A horoscope with a countess and seven keys",
}


SUDOKU = {  # a difficulty and the number of its puzzle, or a puzzle as it is written down
    "Easy": "An easy Sudoku",
    "Medium": "A medium Sudoku, number 4",
    "Hard": "A hard Sudoku, number 7",
    "Extreme": "An extreme Sudoku",
    "Typed": "53..7.... 6..195... .98....6. 8...6...3 4..8.3..1 7...2...6 .6....28. ...419..5 ....8..79",
    "Empty": "An empty board",
}
HOLES = {  # text with holes, by the kind of model
    "chat": "Dear Anna,\n\nthank you for the ___ you sent me. It stands on the table beside the [1] now.\n\nYours, Tom",
    "worlds": "Lost: an orange ___ called Otto, last seen near the reservoir on Friday. Do not interrupt [1], for [1] ___ as well. "
    "Please bring [1] back to the [1]. Reward: four hats, all [1] of them polished.",
}
EXAMPLES = {"chat": CHAT, "worlds": WORLDS, "sudoku": SUDOKU}


def kind(model: str) -> str:
    """Return which of `EXAMPLES` suit a model."""
    return {"worlds": "worlds", "worlds-noisy": "worlds", "sudoku": "sudoku"}.get(model, "chat")


def first_example(model: str) -> str:
    """Return the prompt that a page opens with."""
    return next(iter(examples(model).values()))


def examples(model: str) -> dict[str, str]:
    """Return a model's example prompts by their short names."""
    return EXAMPLES[kind(model)]


CHOICES = {  # how choices read on the page
    "diffusion": "Denoise",
    "ar": "Left to right",
    "schedule": "planned count",
    "threshold": "threshold",
    "factor": "factor",
    "entropy": "entropy",
    "independent": "free choices together",
    "left_to_right": "left to right",
    "proportional": "drawn by probability",
    "random": "at random",
    "none": "never",
    "verify": "causal check",
    "remdm_cap": "ReMDM cap",
    "remdm_rescale": "ReMDM rescale",
    "remdm_conf": "ReMDM conf",
    "p2": "P2",
    "recheck": "own second look",
}
STARTING, STOPPED = "Starting", "Stopped."
HONEST = "The built-in models are small and make things up. What you type is not stored here; your runs stay in this tab of your browser."


def choice(name: str) -> str:
    """Return how a choice reads on the page."""
    return CHOICES.get(name, name)
