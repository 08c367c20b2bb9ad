# What a gRPC server says of itself by reflection, read without any descriptor at hand: its services, and classes of their messages.
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def fields(data):
    """The length-delimited fields of a message: what reflection answers with is made of them, before there is any descriptor."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        if tag & 7 != 2:
            value, at = varint(data, at)
            continue
        length, at = varint(data, at)
        yield tag >> 3, data[at : at + length]
        at += length


def ask(channel, field, text):
    stream = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
    question = bytes([field << 3 | 2, len(text)]) + text.encode()
    return next(iter(stream(iter([question]), timeout=20)))


def services(channel):
    return [
        dict(fields(service))[1].decode()
        for number, reply in fields(ask(channel, 7, "*"))
        if number == 6
        for _, service in fields(reply)
    ]


def describe(channel, service):
    """A service's descriptor, and what makes classes of its messages."""
    pool = descriptor_pool.DescriptorPool()
    files = [
        descriptor_pb2.FileDescriptorProto.FromString(file)
        for number, reply in fields(ask(channel, 4, service))
        if number == 4
        for _, file in fields(reply)
    ]
    for file in reversed(files):
        pool.Add(file)
    return pool.FindServiceByName(service), message_factory.MessageFactory(pool)
