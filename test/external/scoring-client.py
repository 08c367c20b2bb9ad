# Another router in another language over another gRPC (the C core): it asks the mesh where requests should go, sends them there itself, and reports what became of
# them. Messages come from the server's own descriptors. Prints what it saw as one JSON document.
import json
import sys
import time
import urllib.request

import grpc
from google.protobuf import json_format

import reflection

router, model, targets = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
channel = grpc.insecure_channel(router)
scoring, classes = reflection.describe(channel, "infermesh.scoring.v1.Scoring")


def method(name, make):
    found = scoring.FindMethodByName(name)
    request, reply = classes.GetPrototype(found.input_type), classes.GetPrototype(found.output_type)
    return request, make(f"/{scoring.full_name}/{name}", request.SerializeToString, reply.FromString)


def body(number):
    messages = [{"role": "user", "content": f"question {number}"}]
    return json.dumps({"model": model, "messages": messages, "max_tokens": 4}).encode()


def question(number):
    return {"path": "/v1/chat/completions", "body": body(number)}


Score, score = method("ScoreTargets", channel.unary_unary)
Admit, admit = method("AdmitStream", channel.stream_stream)
Report, report = method("ReportOutcomeStream", channel.stream_stream)
scored = score(Score(id=1, request=question(0)), timeout=20)
admitted = list(admit((Admit(id=number, request=question(number)) for number in range(20)), timeout=60))


def dispatched():
    for admission in admitted:
        began = time.monotonic()
        url = targets[admission.target] + "/v1/chat/completions"
        asked = urllib.request.Request(url, body(admission.id), {"content-type": "application/json"})
        with urllib.request.urlopen(asked, timeout=20) as answer:
            usage = json.load(answer)["usage"]
        outcome = {
            "status": "OUTCOME_STATUS_OK",
            "http_status": 200,
            "tokens_out": usage["completion_tokens"],
            "ttft_ms": (time.monotonic() - began) * 1000,
        }
        yield Report(id=admission.id, decision=admission.decision, outcome=outcome)


reported = list(report(dispatched(), timeout=60))
try:
    score(Score(request={"path": "/nothing"}), timeout=20)
    refused = None
except grpc.RpcError as error:
    refused = [error.code().name, dict(error.trailing_metadata()).get("x-infermesh-error")]
print(
    json.dumps(
        {
            "scored": json_format.MessageToDict(scored),
            "admitted": [[admission.id, admission.target, admission.decision] for admission in admitted],
            "reported": [[reply.id, reply.open, reply.error.code] for reply in reported],
            "refused": refused,
        }
    )
)
