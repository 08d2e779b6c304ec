"""A gRPC client of the router made from its own descriptor set: no generated code.

Used by the tour and by the end-to-end tests. It speaks through Debian's python3-grpcio, not
through any code of the project.
"""

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


class Api:
    """The messages and methods of a FileDescriptorSet."""

    def __init__(self, descriptor_set_path):
        files = descriptor_pb2.FileDescriptorSet()
        with open(descriptor_set_path, "rb") as f:
            files.ParseFromString(f.read())
        self.pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            self.pool.Add(file)
        self.factory = message_factory.MessageFactory(self.pool)

    def message(self, name):
        return self.factory.GetPrototype(self.pool.FindMessageTypeByName(name))

    def method(self, path):
        service, name = path.rsplit("/", 1)
        return self.pool.FindServiceByName(service).FindMethodByName(name)


class Failure(Exception):
    """A call that ended with an error: its code's name, message and google.rpc details."""

    def __init__(self, api, error):
        super().__init__(error.details())
        self.code = error.code().name
        self.reason = ""
        self.metadata = {}
        self.fields = []
        self.retry_ms = 0
        self.explanation = ""
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                self._read(api, value)

    def _read(self, api, raw):
        status = api.message("google.rpc.Status")()
        status.ParseFromString(raw)
        for detail in status.details:
            name = detail.type_url.rsplit("/", 1)[1]
            message = api.message(name)()
            message.ParseFromString(detail.value)
            if name == "google.rpc.ErrorInfo":
                self.reason = message.reason
                self.metadata = dict(message.metadata)
            elif name == "google.rpc.BadRequest":
                self.fields = [v.field for v in message.field_violations]
            elif name == "google.rpc.LocalizedMessage":
                self.explanation = message.message
            elif name == "google.rpc.RetryInfo":
                self.retry_ms = (
                    message.retry_delay.seconds * 1000 + message.retry_delay.nanos // 1000000
                )


class Client:
    """One connection, as one service in one region: proven by `tls`, which is (CA bundle, key,
    chain) in PEM, or, for a router in insecure-loopback mode, only said."""

    def __init__(self, api, address, service, region, extra=(), tls=None):
        self.api = api
        options = [
            ("grpc.max_receive_message_length", 8 << 20),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        if tls is None:
            self.channel = grpc.insecure_channel(address, options=options)
            self.identity = [("domicile-service", service), ("domicile-region", region), *extra]
        else:
            credentials = grpc.ssl_channel_credentials(*tls)
            self.channel = grpc.secure_channel(address, credentials, options=options)
            self.identity = list(extra)

    def close(self):
        self.channel.close()

    def _codec(self, path):
        method = self.api.method(path)
        request = self.api.factory.GetPrototype(method.input_type)
        response = self.api.factory.GetPrototype(method.output_type)
        return request, response

    def call(self, path, timeout=10, **fields):
        """One unary call; raises Failure."""
        request, response = self._codec(path)
        stub = self.channel.unary_unary(
            "/" + path,
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=response.FromString,
        )
        try:
            return stub(request(**fields), timeout=timeout, metadata=self.identity)
        except grpc.RpcError as error:
            raise Failure(self.api, error) from None

    def future(self, path, timeout=30, **fields):
        """A unary call under way; .result() raises grpc.RpcError."""
        request, response = self._codec(path)
        stub = self.channel.unary_unary(
            "/" + path,
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=response.FromString,
        )
        return stub.future(request(**fields), timeout=timeout, metadata=self.identity)

    def stream(self, path, timeout=30, **fields):
        """Messages of a server-streaming call; raises Failure."""
        request, response = self._codec(path)
        stub = self.channel.unary_stream(
            "/" + path,
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=response.FromString,
        )
        try:
            yield from stub(request(**fields), timeout=timeout, metadata=self.identity)
        except grpc.RpcError as error:
            raise Failure(self.api, error) from None

    def put(self, kind, id, home, fields, purpose="serve", **more):
        return self.call(
            "domicile.v1.RecordService/PutRecord",
            kind=kind,
            id=id,
            home=home,
            purpose=purpose,
            fields=[{"name": n, "text": v} for n, v in fields.items()],
            **more,
        )

    def get(self, kind, id, purpose="", **more):
        return self.call(
            "domicile.v1.RecordService/GetRecord", kind=kind, id=id, purpose=purpose, **more
        )


def values(record):
    """A record's fields as a dict; a redacted field is None."""
    out = {}
    for field in record.fields:
        which = field.WhichOneof("value")
        out[field.name] = getattr(field, which) if which else None
    return out
