"""The words of the small worlds, by kind. Every option of a kind has the same number of words, so that positions never shift.

Append only: a network knows a word by its place in the vocabulary, which is built from these tables in order.
"""

from __future__ import annotations

SHE = [
    "Mira",
    "Ada",
    "Juno",
    "Olive",
    "Petra",
    "Selma",
    "Tilda",
    "Vera",
    "Greta",
    "Nell",
    "Ida",
    "Lotte",
    "Maud",
    "Edith",
    "Wanda",
]
HE = [
    "Otto",
    "Bruno",
    "Felix",
    "Hugo",
    "Ivo",
    "Jasper",
    "Milo",
    "Oskar",
    "Rufus",
    "Theo",
    "Albert",
    "Emil",
    "Gus",
    "Leopold",
    "Walter",
]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
PLACES = [
    "lighthouse",
    "harbour",
    "orchard",
    "library",
    "mountain",
    "desert",
    "island",
    "railway",
    "greenhouse",
    "observatory",
    "theatre",
    "mill",
    "marsh",
    "bakery",
    "tower",
    "canal",
    "museum",
    "garden",
    "bridge",
    "ferry",
    "airport",
    "hotel",
    "market",
    "quarry",
    "chapel",
    "aquarium",
    "laundry",
    "cinema",
    "pier",
    "attic",
    "cellar",
    "forest",
    "lagoon",
    "volcano",
    "glacier",
    "circus",
    "casino",
    "school",
    "pharmacy",
    "hospital",
    "barn",
    "castle",
    "pond",
    "swamp",
    "beach",
    "viaduct",
    "arcade",
    "planetarium",
    "monastery",
    "zoo",
    "tunnel",
    "cave",
    "meadow",
    "vineyard",
    "shipyard",
    "embassy",
    "courthouse",
    "windmill",
    "reservoir",
    "cemetery",
]
SOUNDS = {  # an animal, and what it does when it is moved
    "heron": "croaks",
    "fox": "barks",
    "goat": "bleats",
    "owl": "hoots",
    "tortoise": "hisses",
    "hedgehog": "snuffles",
    "cat": "purrs",
    "donkey": "brays",
    "otter": "whistles",
    "crow": "caws",
    "badger": "growls",
    "goose": "honks",
    "dog": "barks",
    "pig": "grunts",
    "sheep": "bleats",
    "hen": "clucks",
    "duck": "quacks",
    "frog": "croaks",
    "horse": "neighs",
    "lion": "roars",
    "parrot": "squawks",
    "wolf": "howls",
    "mouse": "squeaks",
    "bee": "buzzes",
    "cow": "moos",
    "turkey": "gobbles",
    "walrus": "bellows",
    "penguin": "brays",
    "camel": "groans",
    "llama": "hums",
}
RELATIVES = {  # a relative, and the possessive
    "aunt": "her",
    "uncle": "his",
    "grandmother": "her",
    "grandfather": "his",
    "sister": "her",
    "brother": "his",
    "niece": "her",
    "nephew": "his",
    "godmother": "her",
    "godfather": "his",
    "landlady": "her",
    "landlord": "his",
}
STRANGERS = {  # somebody, and the pronoun
    "widow": "she",
    "postman": "he",
    "countess": "she",
    "fisherman": "he",
    "nun": "she",
    "duke": "he",
    "ballerina": "she",
    "butler": "he",
    "actress": "she",
    "monk": "he",
    "heiress": "she",
    "nobleman": "he",
    "seamstress": "she",
    "salesman": "he",
    "waitress": "she",
    "ferryman": "he",
}

_ONE = {
    "look": "small silver one-eyed elderly striped polite enormous shy velvet lopsided golden sleepy spotted melancholy freckled tidy unusual "
    "orange boastful invisible",
    "fear": "umbrellas accordions mirrors brass bells clowns ladders soup geese balloons dentists sequels hats stairs bicycles poets echoes "
    "trombones twins raisins",
    "part": "back tail neck belly nose forehead chin shoulder knee elbow",
    "colour": "red blue green yellow purple white black scarlet turquoise pink grey amber",
    "mark": "ribbon bell stamp patch button star moustache badge bow map stain monogram ink-spot arrow",
    "call": "whistling Latin compliments applause opera gossip proverbs thunder yodelling applesauce rhymes trumpets mathematics lullabies",
    "target": "strangers postmen bicycles clouds librarians statues weddings lawyers tourists sunsets brooms professors neighbours trains",
    "food": "plums cheese pickles marzipan noodles toast porridge liquorice dumplings radishes herring pancakes custard turnips olives "
    "gingerbread oysters jam walnuts pears",
    "taste": "cold burnt salted crooked borrowed stale sugared imported smoked triangular raw whispered peppered buttered",
    "flatter": "flatter photograph rush contradict tickle hypnotise wake interrupt interview dress scold bribe",
    "thing": "buttons candles lanterns marbles feathers keys postcards ribbons spoons teacups umbrellas matches pebbles thimbles stamps "
    "coins bells pencils violins hats",
    "state": "polished haunted counted dry alive secondhand labelled warm edible forgiven numbered genuine insured magnetic",
    "slept": "slept watched sulked applauded sang hid yawned blushed danced waited wept supervised giggled fainted",
    "room": "lobby kitchen bathroom corridor lift cellar bedroom staircase balcony pantry ballroom wardrobe",
    "soft": "gentle stubborn purple endless polite early sideways warm salty glittering nervous second-hand musical suspicious reluctant "
    "perfumed educated horizontal",
    "weather": "mist rain snow sunshine wind hail moonlight drizzle fog frost thunder haze sleet starlight",
    "hour": "midnight morning noon dawn evening hour quarter-hour breakfast teatime supper",
    "garment": "hat coat scarf waistcoat bonnet raincoat cape turban wig helmet apron cardigan",
    "boat": "boat train tram balloon ferry carriage raft tractor camel-bus escalator elephant sledge",
    "herb": "shadow thyme clover starlight pepper smoke honey rust mint thunder saffron echo velvet moss nostalgia ink fog marble vinegar "
    "silence",
    "dish": "soup pudding pie stew tea jam salad cake porridge sauce jelly omelette",
    "tool": "ladder feather violin key oar broom comet needle lantern spoon umbrella trumpet anchor ruler compass rake",
    "essence": "song shadow sigh secret yawn footprint dream autograph echo alibi whisper regret sneeze nickname",
    "misbehave": "sing float argue glow weep purr blink snore apologise dance multiply confess hum rise",
    "guests": "aunts sailors professors ghosts violinists cousins widows bishops tailors pirates dentists plumbers colonels philosophers "
    "judges acrobats",
    "point": "northern southern eastern western prevailing",
    "smell": "cinnamon varnish oranges bread wool libraries gunpowder soap lavender tar onions peppermint chalk candlewax",
    "advice": "sailors gardeners bakers lovers cyclists pianists beekeepers astronomers bridegrooms roofers shepherds chimney-sweeps",
    "object": "clock chair trumpet mirror lamp teapot piano globe bathtub telescope accordion suitcase carpet kettle typewriter bell weathervane "
    "birdcage",
    "parts": "springs wheels strings hinges handles pedals drawers mirrors teeth levers wings whistles hooks legs",
    "idea": "patience gravity jealousy winter marriage taxes hope gossip destiny boredom arithmetic courage thrift insomnia",
    "visit": "touch kiss salute polish envy ring sketch greet thank admire question weigh",
    "chest": "drawer hatbox barrel sock safe bucket wardrobe cradle pram cupboard violin-case bathtub jar birdcage",
    "mood": "lonely proud hungry guilty bored jealous content nervous homesick curious moved tired",
    "snack": "pies sausages sandwiches eggs apples pancakes figs biscuits onions lemons waffles radishes cakes melons",
    "title": "Director Captain Manager Professor Inspector Minister Admiral Curator Headmaster Doctor Bishop Mayor",
    "kept": "bed bathtub wardrobe rooftop piano balcony cellar armchair tree library kitchen tent hammock greenhouse",
    "feeling": "sorrow despair confusion hope haste fury wonder disbelief silence disappointment gratitude panic",
    "talk": "cheese money ghosts football marriage trains weather politics knitting gravity mushrooms royalty algebra gout",
    "luck": "hat sock spoon door tree uncle teapot pencil staircase pebble soup vowel chair umbrella",
}
ONE = {kind: list(dict.fromkeys(words.split())) for kind, words in _ONE.items()}


def _phrases(text: str) -> list[str]:
    return [phrase.strip() for phrase in text.split("/")]


MANY = {  # kinds whose options are phrases, all of them equally long
    "habit": _phrases(
        "hums at night / collects silver spoons / sleeps in teapots / follows tall strangers / reads over shoulders / bows to trees / "
        "steals left shoes / counts the stars / whistles when hungry / walks only backwards / cheats at cards / waters plastic plants / "
        "writes long letters / understands some Greek / dreams of Venice / salutes passing ships / distrusts round tables / "
        "recites train timetables / hides under pianos / laughs at funerals"
    ),
    "manner": _phrases(
        "with ceremony / after dark / in silence / by moonlight / under protest / with gloves / on tiptoe / in tears / for hours / "
        "without chewing / from memory / with friends / before sunrise / in disguise"
    ),
    "deed": _phrases(
        "painted the ceiling / repaired a clock / fed the pigeons / lost a kite / found a map / built a raft / baked a pie / drew the moon / "
        "chased a train / planted a flag / married a baker / bought a canoe / tuned the piano / won a lawsuit / insulted a duke / "
        "invented a cheese / broke a promise / outran the tide"
    ),
    "noise": _phrases(
        "plays the trombone / argues about cheese / recites train times / sells warm chestnuts / moves heavy furniture / practises the tango / "
        "calls my name / reads the news / counts to nine / tunes a harp / apologises to pigeons / rehearses a wedding / cracks hard nuts / "
        "hammers soft metal"
    ),
    "until": _phrases(
        "it turns blue / the clock strikes / nobody remembers why / the moon agrees / it smells expensive / your arms sing / "
        "the neighbours complain / it forgives you / the spoon bends / dawn seems likely / it looks embarrassed / somebody knocks twice / "
        "the cat approves / it stops asking"
    ),
    "remedy": _phrases(
        "close the window / read it poetry / call your aunt / add more silence / look very stern / turn around twice / show it money / "
        "praise its mother / count it backwards / hide the salt / wear a crown / sell the pot / deny everything politely / sit down slowly"
    ),
    "rest": _phrases(
        "in the piano / under a bishop / behind the moon / in your pocket / on the roof / beside a canal / inside a hat / among old letters / "
        "near the violins / on a swing / under the stairs / above the clouds / in an envelope / with the geese"
    ),
    "omen": _phrases(
        "refuses to leave / has packed twice / smells of storm / is knitting fast / looks up often / sleeps standing up / has bought candles / "
        "keeps its distance / speaks of June / sits facing north / sheds little sparks / walks in circles / hides the barometer / "
        "predicts more custard"
    ),
    "measure": _phrases(
        "stay in bed / carry two umbrellas / tie everything down / speak quietly outdoors / wear iron shoes / postpone all weddings / "
        "trust no cloud / walk in pairs / sing while working / cover their mirrors / eat before noon / apologise in advance / "
        "hold on tight / count their sheep"
    ),
    "cost": _phrases(
        "lost both eyebrows / gained a twin / sold the house / forgot every friend / spoke to nobody / grew a beard / lived on radishes / "
        "moved eleven times / learned to yodel / missed the war / wept only once / never sat down / dreamed in Latin / slept on ladders"
    ),
    "habit2": _phrases(
        "ticks on holidays / weeps in spring / points to Norway / sings in Latin / sweats before storms / forgives nobody twice / "
        "runs on gossip / opens at dusk / blushes when praised / glows near water / loses at chess / smells of victory / snores on Sundays / "
        "remembers the king"
    ),
    "claim": _phrases(
        "once dined with a walrus / can hear the grass grow / will marry a cloud soon / owns half of next Tuesday / was born on a tram / "
        "never quite trusted the moon / has swallowed a small key / once invented the left-hand glove / remembers once being a stone / "
        "is still owed an apology / could beat Napoleon at dominoes / taught the sea its manners / has seen the other side / "
        "keeps the thunder in jars"
    ),
    "plan": _phrases(
        "rob a bank / learn the tango / visit the dentist / open a hotel / write an opera / sail to Lisbon / run for mayor / buy more hats / "
        "study the clouds / apologise to everyone / start a choir / dig for gold / paint the bridge / teach the geese"
    ),
    "evening": _phrases(
        "played cards badly / watched the tide / danced a polka / counted the chimneys / wrote to Paris / read old maps / shelled the peas / "
        "sang in Welsh / argued about owls / mended the net / wrapped empty boxes / waved at trains / boiled the kettle / "
        "polished the moon"
    ),
    "defect": _phrases(
        "sings at breakfast / leaks warm milk / follows me home / insults the guests / points at strangers / sleeps all day / "
        "asks for money / hums the anthem / smells of bishops / grows every night / votes against me / corrects my grammar / "
        "attracts lonely geese / bites the curtains"
    ),
    "promise": _phrases(
        "quite silent / fully grown / almost new / child proof / very modest / rain proof / well bred / nearly human / house trained / "
        "absolutely flat / gently used / deeply loyal"
    ),
    "wish": _phrases(
        "borrow your ladder / hear a secret / sell you bees / return a sock / praise your soup / find a wife / read your palm / "
        "count your teeth / buy the moon / learn to whistle / hide a piano / escape the rain / tune your piano / see the attic"
    ),
    "love": _phrases(
        "up the stairs / by slow train / in plain paper / through the window / with muddy boots / after the soup / from the north / "
        "on borrowed skates / under an alias / without any luggage / during a sneeze / before you notice / in a balloon / with six cousins"
    ),
    "money": _phrases(
        "hides in books / arrives by pigeon / prefers your neighbour / sleeps until June / grows on stairs / wants to travel / "
        "leaves by bicycle / smells of fish / comes in coins / laughs at you / waits in Lisbon / melts at noon / visits your cousin / "
        "returns in disguise"
    ),
    "rite": _phrases(
        "close your eyes / paint the door / forgive one tailor / sleep facing south / burn the letter / buy more string / trust the goose / "
        "whistle for luck / eat the evidence / call your mother / tip the ferryman / bow to nobody / wear something green / say nothing more"
    ),
}
