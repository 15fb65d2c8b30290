"""The sum of the values of each key by PySpark's groupByKey: group_sum_spark.py TEXT OUTPUT."""

from __future__ import annotations

import os
import sys
import tempfile

from pyspark import SparkConf, SparkContext


def pairs(line: str) -> list[tuple[str, int]]:
    return [(word, len(word)) for word in line.split()]


def main(text: str, output: str) -> None:
    conf = SparkConf().setMaster(f"local[{os.environ['PEER_WORKERS']}]").setAppName("group_sum")
    conf.set("spark.driver.memory", "4g").set("spark.ui.enabled", "false")
    conf.set("spark.local.dir", tempfile.gettempdir())
    spark = SparkContext(conf=conf)
    sums = spark.textFile(text).flatMap(pairs).groupByKey().mapValues(sum)
    sums.map(lambda pair: f"{pair[0]}\t{pair[1]}").saveAsTextFile(output)
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
