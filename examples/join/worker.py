"""Join orders with their customers.

Values arrive in input order, and `customers.tsv` comes before `orders.tsv`: so a customer is
known when the orders arrive, and none has to be kept in memory.

pymr start --input examples/join/input examples/join/worker.py
"""

import pymr


def mapper(ctx: pymr.Context, line: str) -> None:
    customer, *fields = line.split("\t")
    is_order = ctx.input.file.endswith("orders.tsv")
    ctx.emit(customer, ("order" if is_order else "customer", *fields))


def reducer(ctx: pymr.Context, key: str, values: pymr.Values[tuple[str, ...]]) -> None:
    name = None
    for table, *fields in values:
        if table == "customer":
            (name,) = fields
        elif name is None:
            ctx.count("orders without a customer")
        else:
            item, price = fields
            ctx.emit(key, (name, item, int(price)))


job = pymr.Job(mapper=mapper, reducer=reducer, input=pymr.LINES)
