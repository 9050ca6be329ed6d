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


# What no schema says: which bytes are a point of the curve, and which channels lead to the devices of the app that calls.
BEYOND_SCHEMAS = ("it is no point of P-256", "leads to no device of an app on")


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Of what is described as allowed, these may be refused."""
    is_positive = case.meta is not None and case.meta.generation.mode.is_positive
    is_refusal = is_positive and case.path.startswith("/v1/devices") and response.status_code == 400
    return not (is_refusal and any(words in response.json()["detail"] for words in BEYOND_SCHEMAS))
