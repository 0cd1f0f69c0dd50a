/**
 * What a comparison of rules leaves in a folder: {@link kudari.report.Comparison} is the data, {@link kudari.report.Report} the folder; and
 * what one training leaves there as it goes, a {@link kudari.report.RunWriter}.
 */
package kudari.report;
