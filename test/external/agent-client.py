# A client of the Agent API in another language over another gRPC (the C core), which knows an address, three files and nothing else: messages come from
# the server's own descriptors. Prints what it saw as one JSON document.
import json
import sys

import grpc
from google.protobuf import json_format

import reflection

address, folder, trust_domain = sys.argv[1:4]


def read(name):
    with open(f"{folder}/{name}", "rb") as file:
        return file.read()


channel = grpc.secure_channel(
    address,
    grpc.ssl_channel_credentials(read("bundle.pem"), read("ann.key"), read("ann.pem")),
    # Whoever answers has to prove that name: the chain and the name are both checked.
    [("grpc.ssl_target_name_override", trust_domain)],
)


agent, classes = reflection.describe(channel, "infermesh.agent.v1.Agent")


def method(name, stream=False):
    found = agent.FindMethodByName(name)
    request, reply = classes.GetPrototype(found.input_type), classes.GetPrototype(found.output_type)
    make = channel.unary_stream if stream else channel.unary_unary
    call = make(f"/{agent.full_name}/{name}", request.SerializeToString, reply.FromString)
    return lambda timeout=20, **given: call(request(**given), timeout=timeout)


def refused(run):
    try:
        run()
    except grpc.RpcError as error:
        return [error.code().name, dict(error.trailing_metadata()).get("x-infermesh-error")]
    return None


events = method("SubscribeEvents", stream=True)()
begin = next(events)
value = json.dumps({"models": ["other-*"], "zones": ["nowhere"]})
policy = method("SetPolicy")(kind="placement", name="python", value_json=value)
seen = next(event for message in events for event in message.events if event.kind == "policy")
events.cancel()
health = channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=20)
print(
    json.dumps(
        {
            "services": reflection.services(channel),
            "nodes": json_format.MessageToDict(method("ListNodes")())["nodes"],
            "begin": begin.revision,
            "policy": policy.revision,
            "event": [seen.id, seen.change, seen.revision],
            "conflict": refused(
                lambda: method("SetPolicy")(kind="placement", name="python", value_json=value, if_revision=0)
            ),
            "unknown": refused(lambda: method("GetNode")(node="nobody")),
            "health": health.hex(),
        }
    )
)
