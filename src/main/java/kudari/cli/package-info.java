/** The commands behind {@code scripts/kudari}: they use the library as anybody would. */
@org.jspecify.annotations.NullMarked
package kudari.cli;
