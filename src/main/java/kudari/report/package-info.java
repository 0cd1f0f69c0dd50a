/**
 * What a comparison of rules leaves in a folder: {@link kudari.report.Comparison} is the data, {@link kudari.report.Report} the folder; and
 * what one training leaves there as it goes, a {@link kudari.report.RunWriter}. The page needs {@code org.webjars:echarts} on the class path, and
 * the pictures {@code org.knowm.xchart:xchart}, which the library itself does not.
 */
package kudari.report;
