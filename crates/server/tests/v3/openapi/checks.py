"""What the v3 API promises beside its schemas, of every answer the fuzzer gets."""

import schemathesis

UNREADABLE = 1008001


@schemathesis.check
def the_code_tells(ctx, response, case):
    """A refusal says why and a success says nothing; what is described as allowed can be read."""
    if not case.path.startswith("/v3/") or response.status_code != 200:
        return
    answer = response.json()
    code = answer.get("ret_code", answer.get("retCode"))
    text = answer.get("err_msg", answer.get("errMsg"))
    assert (code == 0) == (text == ""), f"the code is {code}, and the text {text!r}"
    if case.meta is not None and case.meta.generation.mode.is_positive:
        assert code != UNREADABLE, f"what the description allows cannot be read: {text}"
