"""What a causal language model is asked: the protocol's question in the chat template of the model's own tokenizer.

The system message goes first; a template that refuses one (as Gemma's does) gets the user's message alone. A tokenizer
without a chat template is refused, since nobody can know how its model wants to be asked. Templates that know
`enable_thinking` are told no: the answer begins at once.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages.errors import ModelError
from stages.rating_protocol import DIGITS, LETTERS, MOST_TOKENS, SYSTEM, prepared, slots, user_message
from stages.rating_shape import AnswerTokens

CONTROL = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
"""Neutralised in documents whether or not the tokenizer knows them."""
LEAST_TOKENS = 64
"""A model that cannot read this many tokens of a document is refused."""
_SLACK = 16
"""Tokens that a text may gain when its two halves are tokenised together."""
_MARKUP = re.compile(r"<.+>")
_SURROGATES = re.compile("[\ud800-\udfff]")


class Chat:
    """Prompts of one mode and language as tokens. Raises ModelError if the tokenizer cannot ask or be answered."""

    def __init__(self, tokenizer: Any, place: Path, language: str, mode: str, most_positions: int | None) -> None:
        """`most_positions` is how many tokens the model can read, prompt and answer; `place` names it in errors."""
        self._tokenizer, self._place = tokenizer, place
        self._language, self._mode = language, mode
        self._specials = control_tokens(tokenizer)
        self._roles = self._possible_roles()
        self.answer = self._answer_tokens()
        self.longest = (most_positions or 2**31) - self.answer.length
        """Tokens of the longest prompt."""
        room = self.longest - len(self.tokens("")) - _SLACK
        if room < LEAST_TOKENS:
            raise ModelError(
                f"{place}: found room for {max(room, 0)} tokens of a document (the model reads {most_positions}), "
                f"expected at least {LEAST_TOKENS}: take a model with a longer context"
            )
        self._most_tokens = min(MOST_TOKENS, room)

    def shown(self, text: str) -> str:
        """What the model is shown of a document: the protocol's preparation, with U+FFFD for lone surrogates.

        A model with a short context is shown fewer tokens than the protocol's.
        """
        text = _SURROGATES.sub("\ufffd", text)
        return prepared(text, self._encode, self._decode, self._specials, self._most_tokens)

    def tokens(self, shown: str) -> list[int]:
        """The prompt for a text as it is shown."""
        return self._encode(self._render(shown, self._roles))

    def _render(self, shown: str, roles: Sequence[str]) -> str:
        contents = {"system": SYSTEM, "user": user_message(shown, self._language, self._mode)}
        rendered = self._tokenizer.apply_chat_template(
            [{"role": role, "content": contents[role]} for role in roles],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,
        )
        return str(rendered)

    def _possible_roles(self) -> tuple[str, ...]:
        """The roles of the messages that the chat template takes. Raises ModelError if it takes none."""
        from jinja2.exceptions import TemplateError

        if not self._tokenizer.chat_template:
            raise ModelError(
                f"{self._place}: found a tokenizer without a chat template, expected one: a rater is a model that was "
                "trained to answer; put its template into chat_template.jinja"
            )
        reasons = []
        for roles in (("system", "user"), ("user",)):
            try:
                self._render("", roles)
            except TemplateError as error:
                reasons.append(str(error))
            else:
                return roles
        raise ModelError(f"{self._place}: the chat template cannot be used: {reasons[-1]}")

    def _answer_tokens(self) -> AnswerTokens:
        """The tokens of letters, digits and newlines where they stand in an answer to a prompt."""
        wanted = slots(self._mode)
        prompt = self._render("", self._roles)
        base, answers = self._encode(prompt), []
        for turn in range(max(map(len, wanted))):
            lines = [choices[turn % len(choices)] for choices in wanted]
            tokens = self._encode(prompt + "\n".join(lines))
            answers.append(tokens[len(base) :])
            if tokens[: len(base)] != base or len(answers[-1]) != 2 * len(wanted) - 1:
                raise self._refusal(prompt, base)
        found = tuple(
            tuple(answer[2 * place] for answer in answers[: len(choices)]) for place, choices in enumerate(wanted)
        )
        newlines = {token for answer in answers for token in answer[1::2]}
        if len(newlines) > 1 or any(len(set(tokens)) < len(tokens) for tokens in found):
            raise self._refusal(prompt, base)
        return AnswerTokens(found, newlines.pop() if newlines else -1)

    def _refusal(self, prompt: str, base: Sequence[int]) -> ModelError:
        """Says which characters of an answer are no single tokens."""
        symbols = {letter: letter for letter in LETTERS + DIGITS} | {"\n": "newline"}
        several = [name for symbol, name in symbols.items() if len(self._encode(prompt + symbol)) != len(base) + 1]
        found = f"no single token for {', '.join(several)}" if several else "tokens that merge with their neighbours"
        return ModelError(
            f"{self._place}: found {found} in an answer, expected a token each for A to O, 1 to 5 and newline: this "
            "tokenizer cannot be scored slot by slot; use another model, or serve it (rating.rater: served)"
        )

    def _encode(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def _decode(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def control_tokens(tokenizer: Any) -> list[str]:
    """What a document must not be able to say: all special tokens, and added ones that look like `<tool_call>`.

    Other added tokens are mostly runs of spaces and stay.
    """
    added = tokenizer.added_tokens_decoder.values()
    marked = {token.content for token in added if token.special or _MARKUP.fullmatch(token.content)}
    return sorted({*CONTROL, *tokenizer.all_special_tokens, *marked})
