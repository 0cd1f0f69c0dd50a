/**
 * Training on more than one machine, as jobs of Apache Spark: a barrier stage is a training job, a task is a rank. These classes need
 * {@code spark-core} (Scala 2.13) on the class path, which nothing else here does.
 */
package kudari.spark;
