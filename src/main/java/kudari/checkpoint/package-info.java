/**
 * What a run leaves on disk: {@link kudari.checkpoint.Safetensors} is the file, {@link kudari.checkpoint.Checkpoint} a run in it. Needs Gson on
 * the class path, which the library itself does not.
 */
@org.jspecify.annotations.NullMarked
package kudari.checkpoint;
