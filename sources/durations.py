"""The type of durations in configs: `250ms`, `1s`, `5min`, `2h`, `3d`."""

from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

from gpu_kernels.durations import format_duration, parse_duration

Duration = Annotated[int, BeforeValidator(parse_duration), PlainSerializer(format_duration, return_type=str)]
