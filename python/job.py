"""For spark-submit: analyses captures, writes report.json and the tables as Parquet.

    spark-submit python/job.py --out DIR FILE|DIR|GLOB ...

DIR is written by Spark: a path on whatever file system the cluster has. The tables are folders in it.
"""

import argparse
import sys

from pyspark.sql import SparkSession

import pcapsy.spark


def main() -> int:
    parser = argparse.ArgumentParser(description="Analyses captures on Apache Spark.")
    parser.add_argument("paths", nargs="+", metavar="FILE|DIR|GLOB")
    parser.add_argument("--out", required=True, metavar="DIR", help="write the report and the tables there")
    parser.add_argument("--config", metavar="FILE", help="a pcapsy.toml")
    parser.add_argument("--partitions", type=int, metavar="N", help="of the flows [four for every core]")
    asked = parser.parse_args()
    spark = SparkSession.builder.appName("pcapsy").getOrCreate()
    try:
        report = pcapsy.spark.analyze(spark, asked.paths, asked.config, partitions=asked.partitions)
        text = spark.createDataFrame([(report.json,)], "value string").coalesce(1)
        text.write.mode("overwrite").text(f"{asked.out}/report")
        for name, table in report.tables.items():
            table.write.mode("overwrite").parquet(f"{asked.out}/{name}")
        for incident in report.incidents:
            print(incident.id, incident.severity.upper(), incident.title)
    finally:
        spark.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
