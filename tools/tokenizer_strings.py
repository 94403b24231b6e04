"""Strings that tokenizers are compared on: many scripts, code, emoji, white space, special tokens."""

import random
import sys
import unicodedata

# Scripts by the first words of their characters' names.
SCRIPTS = [
    "LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "HEBREW", "ARABIC", "SYRIAC", "THAANA", "NKO",
    "DEVANAGARI", "BENGALI", "GURMUKHI", "GUJARATI", "ORIYA", "TAMIL", "TELUGU", "KANNADA",
    "MALAYALAM", "SINHALA", "THAI", "LAO", "TIBETAN", "MYANMAR", "GEORGIAN", "HANGUL", "ETHIOPIC",
    "CHEROKEE", "CANADIAN SYLLABICS", "OGHAM", "RUNIC", "KHMER", "MONGOLIAN", "HIRAGANA", "KATAKANA",
    "BOPOMOFO", "CJK UNIFIED", "YI SYLLABLE", "TIFINAGH", "BALINESE", "JAVANESE", "GOTHIC",
    "DESERET", "COPTIC", "BRAHMI", "ADLAM", "VAI SYLLABLE", "CUNEIFORM", "EGYPTIAN", "VITHKUQI", "TOTO",
]
WHITE_SPACE = " \t\n\r\v\f\x85\xa0\u1680\u2000\u2003\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
NEARLY_SPACE = "\u180e\u200b\u200c\u200d\u2060\ufeff\x1c\x1d\x1e\x1f\x00"
EMOJI = ["😀", "👨‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇩🇪", "❤️", "🫠", "1️⃣", "🧑🏿‍🚀", "⌚"]
CODE = [
    "for (int i = 0; i < n; ++i) {\n\t\tsum += a[i] * 0x1F;\n}\n", "def f(x):\n    return x**2\n\n\n",
    "#include <vector>\r\n\r\nint main(){}", "<div class=\"a\">&nbsp;</div>", "{\"a\": [1, 2.5e-3, null]}",
    "SELECT * FROM t WHERE a != 'it''s';", "$ ls -la | grep '\\.txt$' && echo $?", "a->b::c<T>(d...);",
    "    \n        x\n\n\n\n   y   ", "//--------------------------------\n", "/* ... */ ////", "0123456789 12,345.678",
]
CONTRACTIONS = ["'s", "'S", "'T", "'re", "'RE", "'Ll", "'d", "'ve", "'m", "'ſ", "'ſs", "’s", "''s", "'sa"]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|eot_id|>", "<s>", "</s>", "<pad>",
           "<|fim_prefix|>", "[MASK]", "<|endoftext", "endoftext|>", "<unk>", "<0x0A>", "▁", "Ġ", "Ċ"]


def characters_by_script():
    scripts = {name: [] for name in SCRIPTS}
    digits = []
    others = []
    for code in range(0x21, sys.maxunicode + 1):
        character = chr(code)
        category = unicodedata.category(character)
        if category in ("Cn", "Cs", "Co"):
            continue
        name = unicodedata.name(character, "")
        if category in ("Nd", "Nl", "No"):
            digits.append(character)
        for script in SCRIPTS:
            if name.startswith(script):
                scripts[script].append(character)
                break
        else:
            others.append(character)
    missing = [name for name, found in scripts.items() if not found]
    assert not missing, missing
    return scripts, digits, others


class Strings:
    """Makes strings from a seed."""

    def __init__(self, seed, text):
        self.random = random.Random(seed)
        self.text = text
        self.scripts, self.digits, self.others = characters_by_script()

    def word(self):
        letters = self.scripts[self.random.choice(SCRIPTS)]
        length = self.random.choice([1, 2, 3, 5, 8, 13])
        word = "".join(self.random.choice(letters) for _ in range(length))
        return self.random.choice([word, word.upper(), word.lower(), word.title()])

    def piece(self):
        pick = self.random.random()
        if pick < 0.3:
            return self.word()
        if pick < 0.5:
            at = self.random.randrange(len(self.text))
            return self.text[at:at + self.random.randrange(60)]
        if pick < 0.58:
            return "".join(self.random.choice(WHITE_SPACE) for _ in range(self.random.randrange(1, 8)))
        if pick < 0.64:
            return self.random.choice([" ", "\n", "\t", "  ", "\r\n", "\n\n"]) * self.random.randrange(1, 12)
        if pick < 0.70:
            return self.random.choice(CODE)
        if pick < 0.75:
            return self.random.choice(EMOJI) * self.random.randrange(1, 4)
        if pick < 0.80:
            return "".join(self.random.choice(self.digits if self.random.random() < 0.5 else "0123456789")
                           for _ in range(self.random.randrange(1, 8)))
        if pick < 0.84:
            return self.random.choice(SPECIAL)
        if pick < 0.88:
            return self.word() + self.random.choice(CONTRACTIONS)
        if pick < 0.93:
            return "".join(self.random.choice(self.others) for _ in range(self.random.randrange(1, 6)))
        if pick < 0.96:
            raw = bytes(self.random.randrange(256) for _ in range(self.random.randrange(1, 9)))
            return raw.decode("utf-8", "replace")
        if pick < 0.98:
            return "".join(self.random.choice(NEARLY_SPACE) for _ in range(self.random.randrange(1, 3)))
        return self.random.choice(["a", "ab", "é", "e\u0301\u0323", "中", "-", "="]) * self.random.randrange(1, 200)

    def string(self):
        pieces = [self.piece() for _ in range(self.random.choice([0, 1, 1, 2, 3, 5, 8]))]
        return self.random.choice(["", "", " "]).join(pieces)

    def strings(self, count):
        return [self.string() for _ in range(count)]
