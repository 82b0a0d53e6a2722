"""The words of spoken codes: 256 adjectives and 256 nouns, our own choice.

Common words, easily said. In each list the first three letters name a word, so that they are enough
to type; no two words are nearer than three slips of the finger, and none is in both lists.
"""

__all__ = ["ADJECTIVES", "NOUNS"]

ADJECTIVES = tuple(
    """
    abrupt absent acid active adult agile alert aloof alpine amber ancient annual arctic ashen
    astute atomic august autumn awake awkward bald basic beige best bitter blank blue bonus
    bouncy brave bright bronze bubbly bulky candid careful cedar central chilly chosen chubby
    civil clammy clever cloudy coastal cobalt common cool copper cosmic crafty creamy crimson
    crooked crude curly custom daily damp daring decent deluxe dense devout digital direct dizzy
    dotted dry dusty eager earnest ebony eerie elastic elegant emerald empty endless epic equal
    exact exotic expert fabled fair famous fancy fierce final fixed flaky flexible floral fluent
    foggy fossil fresh frosty frugal full gallant gentle ghostly giant giddy gifted glassy
    gleaming gloomy golden grateful great happy hazel hearty helpful hidden hollow honest huge
    humble hungry ideal idle immune indigo inner intact iron itchy ivory jade jagged jaunty
    joyful juicy jumbo keen khaki knotty lavish leafy lemon lilac liquid little lively lofty
    loose lunar lush marble massive mature merry mighty modern moist moody musical muted mystic
    narrow nervous noble normal oaken oblong obvious olive opaque orange organic patient peach
    perfect petite pink pleasant plucky polar pretty prime prompt public purple puzzled quaint
    quirky radiant random regular remote rich roasted robust rocky rough rubber sacred saffron
    salty satin scarlet serene shaggy short silent simple sleepy small smooth snowy solid
    southern special spiral splendid square stable steady sticky strict subtle sugary sweet
    tender thick thorny timid tranquil tropic twisted unique upbeat urban urgent useful vague
    velvet vibrant violet visual volcanic watery wavy wealthy weird western winged witty worthy
    woven young
    """.split()  # noqa: SIM905  (a list of literals would take 520 lines)
)
"""The first word of a code."""

NOUNS = tuple(
    """
    abbey acorn adobe album almond alpaca anchor angel apple arch armour arrow artist atlas
    attic avenue bamboo banjo basket beacon biscuit blossom bonfire bottle boulder branch bread
    bridge bubble buffalo butter cabin cactus candle carpet cello chapel cheese cinema circus
    clarinet cliff clover coconut coffee cookie cottage coyote cricket crown crystal cupboard
    curtain cushion cyclone daisy dancer delta denim desert diamond dolphin domino donkey dragon
    driver drummer eagle elephant elk engine falcon farmer feather ferry fiddle fjord flame
    football forest fountain frog galaxy garden gecko ghost giraffe glacier glider goblet gravel
    guitar gulf hamster harp hazelnut hedgehog helmet hippo holly hound hut hyena igloo iguana
    insect island jaguar jasmine jewel jigsaw jungle jupiter kayak keyboard kimono kingdom kiosk
    kitten kiwi koala ladder lagoon lantern laptop lavender lemur leopard lettuce library lily
    linen lizard lobster lotus lynx magnet mantis marmot mattress meadow melon mermaid midnight
    minnow mirror moose mosaic mustard napkin needle nest north nugget nutmeg oasis oatmeal oboe
    octopus onion opera orbit orchard ostrich oven owl parsley pasture peanut pelican penguin
    pepper piano picnic pigeon pilot pirate pizza poet poodle popcorn potato prairie puffin
    pumpkin puzzle pyramid python queen quill rabbit raccoon radish raft rainbow razor reef
    relic ribbon ruby sailor salad sandal saxophone school scooter shuttle sloth smoke snail
    sofa spinach sponge squid stork summit swan syrup tadpole temple tennis theatre thistle
    thunder tiger toast tornado toucan tractor treasure trumpet tulip twig typhoon umbrella
    unicorn valley vanilla vault victory village vineyard violin volcano voyage waffle walnut
    whale wheat willow wombat yacht yodel yogurt zebra zigzag
    """.split()  # noqa: SIM905  (a list of literals would take 520 lines)
)
"""The second."""
