/**
 * What a comparison of rules leaves in a folder: {@link kudari.report.Comparison} is the data, {@link kudari.report.Report} the folder.
 */
@org.jspecify.annotations.NullMarked
package kudari.report;
